/** A trainer over given pairs whose steps are timed, a few at a time. */
import type { TokenizedPair } from '../data/types';
import { DispatchTimes, type KernelTime } from '../gpu/timing';
import { initialAdapter, uploadAdapter } from '../model/adapter';
import type { LoadedModel } from '../model/session';
import { Session } from '../model/session';
import { DEFAULT_HPARAMS, type HParams } from '../train/hparams';
import { planTraining } from '../train/run-plan';
import { Trainer } from '../train/trainer';

export class SteadyRun {
  readonly #model: LoadedModel;
  readonly session: Session;
  readonly trainer: Trainer;
  /** Tokens that are computed, and rows that the head sees, in one pass over the pairs. */
  readonly tokens: number;
  readonly rows: number;
  readonly #ends: number[];

  private constructor(model: LoadedModel, session: Session, trainer: Trainer, ends: number[]) {
    this.#model = model;
    this.session = session;
    this.trainer = trainer;
    this.#ends = ends;
    const { train } = trainer.plan;
    this.tokens = train.reduce((sum, { shape }) => sum + shape.tokens, 0);
    this.rows = train.reduce((sum, { shape }) => sum + shape.rows, 0);
  }

  /**
   * Pairs in their own order, `batch` a step, from the beginning again after the last.
   * @param total steps that may be asked for
   * @param budget most tokens of one pass through the model
   */
  static async open(
    model: LoadedModel,
    pairs: readonly TokenizedPair[],
    batch: number,
    total: number,
    budget: number,
    hparams: Partial<HParams> = {},
  ): Promise<SteadyRun> {
    const { gpu, config } = model;
    const settings: HParams = {
      ...DEFAULT_HPARAMS,
      per_device_train_batch_size: batch,
      gradient_accumulation_steps: 1,
      max_steps: total,
      shuffle: false,
      ...hparams,
    };
    const plan = planTraining(config, gpu.device.limits, gpu.profile, settings, pairs, [], budget);
    const session = await Session.create(model, plan.lora, plan.capacity, settings);
    uploadAdapter(session, initialAdapter(plan.lora, 0));
    const ends: number[] = [];
    return new SteadyRun(
      model,
      session,
      new Trainer(session, plan, { onStep: () => ends.push(performance.now()) }),
      ends,
    );
  }

  /** Milliseconds from the call until the end of each of the next `steps` steps. */
  async ends(steps: number): Promise<number[]> {
    this.#ends.length = 0;
    const began = performance.now();
    await this.trainer.run({ maxSteps: this.trainer.step + steps });
    return this.#ends.map((end) => end - began);
  }

  /** Milliseconds of the next `steps` steps together. */
  async time(steps: number): Promise<number> {
    return (await this.ends(steps)).at(-1)!;
  }

  /** The next `steps` steps with every dispatch timed, summed by kernel; empty where the device has no timestamps. */
  async kernels(steps: number): Promise<KernelTime[]> {
    const { gpu, cmd } = this.#model;
    if (!gpu.device.features.has('timestamp-query')) return [];
    cmd.times = new DispatchTimes(gpu.device);
    await this.time(steps);
    await cmd.finish();
    const kernels = await cmd.times.read();
    cmd.times = null;
    return kernels;
  }

  get losses(): number[] {
    return this.trainer.log.map(({ loss }) => loss);
  }

  get runBytes(): number {
    return this.session.memory.bytes;
  }

  destroy(): void {
    this.session.destroy();
  }
}
