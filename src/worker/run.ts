/** One training run in the worker: its session on the GPU while it lasts, its adapter and log afterwards. */
import type { Tokenizer } from '../data/tokenizer';
import type { AdapterTensor } from '../formats/peft';
import { RunSamples, type SamplePlan } from '../generate/run-samples';
import type { AdapterSource } from '../inference/session';
import { initialAdapter, uploadAdapter } from '../model/adapter';
import type { OpenModel } from '../model/load';
import { Session } from '../model/session';
import type { RunKeeper } from '../runs/keeper';
import type { KeptState } from '../runs/record';
import { type Checkpoint, putCheckpoint, takeCheckpoint } from '../train/checkpoint';
import { Pace } from '../train/pace';
import type { TrainingPlan } from '../train/run-plan';
import { Trainer } from '../train/trainer';
import { studioError } from './errors';
import type { EvalRecord, KeptRecord, RunProgress, RunState, StepRecord, WorkerEvent } from './protocol';

export interface FinishedRun {
  adapter: Map<string, AdapterTensor>;
  plan: TrainingPlan;
  steps: readonly StepRecord[];
  evals: readonly EvalRecord[];
  dataName: string;
}

export interface RunStart {
  plan: TrainingPlan;
  /** Prompts to answer on the way. */
  samples: SamplePlan | null;
  tokenizer: Tokenizer;
  dataName: string;
  /** What to go on from; null for a fresh run. */
  checkpoint: Checkpoint | null;
  /** What a fresh run begins with in place of a random adapter. */
  adapter: Map<string, AdapterTensor> | null;
  /** Seconds of training before the checkpoint. */
  seconds: number;
  /** Null when storage cannot be used: the run then goes on without checkpoints. */
  keeper: RunKeeper<KeptRecord> | null;
}

/** What the visitor wants the run to do next. */
type Wish = 'run' | 'step' | 'pause' | 'stop';

export class Run {
  readonly #model: OpenModel;
  readonly #start: RunStart;
  readonly #emit: (event: WorkerEvent) => void;
  #abort = new AbortController();
  #wish: Wish = 'run';
  /** Ends a pause. */
  #wake: (() => void) | null = null;
  #state: RunState = 'preparing';
  #activity = 'reserving GPU memory';
  #trainer: Trainer | null = null;
  #samples: RunSamples | null = null;
  #pace = new Pace();
  /** Milliseconds of training, pauses left out, up to `#since`. */
  #spent: number;
  #since: number | null = null;
  #savedStep: number;
  /** Whether the next step is to be timed. */
  #profile = false;

  constructor(model: OpenModel, start: RunStart, emit: (event: WorkerEvent) => void) {
    this.#model = model;
    this.#start = start;
    this.#emit = emit;
    this.#spent = 1000 * start.seconds;
    this.#savedStep = start.checkpoint?.step ?? -1;
  }

  get progress(): RunProgress {
    const last = this.#trainer?.log.at(-1);
    const total = this.#start.plan.steps.length;
    const { secondsPerStep, ...rates } = this.#pace.rates;
    const left = total - (last?.step ?? 0);
    return {
      state: this.#state,
      step: last?.step ?? 0,
      totalSteps: total,
      epoch: last?.epoch ?? 0,
      ...rates,
      secondsLeft: secondsPerStep > 0 ? left * secondsPerStep : null,
      activity: this.#activity,
    };
  }

  /** The adapter where it lies, while the run is paused. */
  get pausedAdapter(): { source: AdapterSource; step: number } | null {
    if (this.#state !== 'paused' || !this.#trainer) return null;
    const { session, step } = this.#trainer;
    return { source: { layout: session.lora, slabs: session.memory }, step };
  }

  /** Ends the run after the step in work. */
  stop(): void {
    if (this.#state === 'stopping') return;
    this.#ask('stop');
    this.#tell('stopping', 'finishing the step in work');
  }

  /** Halts after the step in work; the session stays on the GPU. */
  pause(): void {
    if (this.#state !== 'running') return;
    this.#ask('pause');
    this.#tell('pausing', 'finishing the step in work');
  }

  /** Times the kernels of the next step. */
  profile(): void {
    this.#profile = true;
  }

  /** Goes on after a pause. */
  resume(): void {
    if (this.#state === 'paused') this.#ask('run');
  }

  /** Makes one step and pauses again. */
  singleStep(): void {
    if (this.#state === 'paused') this.#ask('step');
  }

  /**
   * Trains to the end or until stopped. Whatever happens, `keep` gets the adapter as far as it was trained, when there
   * is one to save.
   */
  async train(keep: (run: FinishedRun) => void): Promise<RunProgress> {
    this.#tell('preparing', 'reserving GPU memory');
    const { plan, samples, tokenizer, checkpoint, adapter } = this.#start;
    const session = await Session.create(this.#model, plan.lora, plan.capacity, plan.hparams);
    try {
      if (samples) {
        // The run is worth more than the answers on its way.
        this.#samples = await RunSamples.create(session, samples, tokenizer).catch((error: unknown) => {
          this.#emit({ event: 'samplesFailed', error: studioError(error) });
          return null;
        });
      }
      const trainer = this.#openTrainer(session);
      this.#trainer = trainer;
      if (checkpoint) putCheckpoint(trainer, checkpoint);
      else uploadAdapter(session, adapter ?? initialAdapter(plan.lora, plan.hparams.init_seed));
      // A fresh adapter follows from its seed; one that was given has to be kept.
      if (adapter && !checkpoint) await this.#save('running');
      return await this.#train(trainer, keep);
    } finally {
      this.#samples?.destroy();
      session.destroy();
    }
  }

  #openTrainer(session: Session): Trainer {
    return new Trainer(session, this.#start.plan, {
      onStep: (record, pairs, tokens) => {
        this.#pace.step(pairs, tokens);
        this.#emit({ event: 'step', record });
        this.#tell(this.#state, this.#state === 'running' ? 'training' : this.#activity);
      },
      onEval: (record) => this.#emit({ event: 'eval', record }),
      onSample: (record) => this.#emit({ event: 'sample', record }),
      onMargins: (step, rows, margins) => this.#emit({ event: 'margins', step, rows, margins }),
      onKernels: (step, times, milliseconds) =>
        this.#emit({
          event: 'kernels',
          step,
          milliseconds,
          times: times.map(({ name, dispatches, ms }) => ({ name, dispatches, ms })),
        }),
      onActivity: (activity) => this.#tell(this.#state, activity),
    });
  }

  async #train(trainer: Trainer, keep: (run: FinishedRun) => void): Promise<RunProgress> {
    const { keeper } = this.#start;
    let state: KeptState = 'stopped';
    try {
      const done = await this.#untilStopped(trainer);
      state = done ? 'finished' : 'stopped';
    } catch (error) {
      state = 'failed';
      this.#tell('failed', 'stopped by an error');
      throw error;
    } finally {
      this.#halted();
      if (trainer.log.length) await this.#finish(trainer, state, keep);
      await keeper?.note(trainer.step, { state, seconds: this.#spent / 1000 });
    }
    this.#tell(state, state === 'finished' ? 'done' : 'stopped; the adapter is kept');
    return this.progress;
  }

  /** Runs, pauses and single steps until all is done (true) or the visitor stops it (false). */
  async #untilStopped(trainer: Trainer): Promise<boolean> {
    const { plan, samples } = this.#start;
    const save = { every: plan.saveEvery, take: () => this.#save('running') };
    const answers = this.#samples;
    const sample = samples && answers ? { every: samples.every, take: () => answers.take() } : undefined;
    for (;;) {
      if (this.#wish === 'stop') return false;
      if (this.#wish === 'pause') {
        await this.#save('paused');
        await this.#pause();
        continue;
      }
      const single = this.#wish === 'step';
      this.#tell('running', trainer.step === 0 ? 'compiling kernels' : 'training');
      this.#pace = new Pace();
      this.#since = performance.now();
      this.#abort = new AbortController();
      const maxSteps = single ? trainer.step + 1 : undefined;
      const done = await trainer.run({
        signal: this.#abort.signal,
        maxSteps,
        sample,
        save,
        profile: () => this.#takeProfile(),
      });
      this.#halted();
      if (done) return true;
      if (single && this.#wish === 'step') this.#wish = 'pause';
    }
  }

  async #pause(): Promise<void> {
    if (this.#wish !== 'pause') return;
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#tell('paused', 'paused; the GPU keeps the run');
    await woken;
  }

  #takeProfile(): boolean {
    const wanted = this.#profile;
    this.#profile = false;
    return wanted;
  }

  #ask(wish: Wish): void {
    this.#wish = wish;
    this.#abort.abort();
    this.#wake?.();
    this.#wake = null;
  }

  #halted(): void {
    if (this.#since !== null) this.#spent += performance.now() - this.#since;
    this.#since = null;
  }

  async #save(state: KeptState): Promise<void> {
    const { keeper } = this.#start;
    const trainer = this.#trainer!;
    if (!keeper) return;
    if (this.#savedStep === trainer.step) {
      await keeper.note(trainer.step, { state });
      return;
    }
    const seconds = (this.#spent + (this.#since === null ? 0 : performance.now() - this.#since)) / 1000;
    await keeper.save(await takeCheckpoint(trainer), state, seconds);
    this.#savedStep = trainer.step;
    if (state !== 'running') await keeper.settled();
  }

  async #finish(trainer: Trainer, state: KeptState, keep: (run: FinishedRun) => void): Promise<void> {
    const { plan, dataName } = this.#start;
    try {
      const { adapter, steps, evals } = await takeCheckpoint(trainer);
      keep({ adapter, plan, steps, evals, dataName });
      await this.#save(state);
    } catch (error) {
      // With the device gone there is nothing to read; the run's own error says so.
      if (state !== 'failed') throw error;
    }
  }

  #tell(state: RunState, activity: string): void {
    this.#state = state;
    this.#activity = activity;
    this.#emit({ event: 'progress', progress: this.progress });
  }
}
