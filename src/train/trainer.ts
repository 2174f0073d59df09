/** The training loop: TRL's steps and metrics on packed passes. */
import { packPairs } from '../data/packing';
import { evaluatesAfter } from '../data/sampler';
import { GpuError } from '../gpu/errors';
import { DispatchTimes, type KernelTime } from '../gpu/timing';
import type { DropoutPass } from '../model/group-rows';
import { dropoutShare } from '../model/plan';
import type { PairLoss, Session } from '../model/session';
import { PAIR_RESULT } from '../ops/orpo_loss';
import { TrainingError } from './errors';
import { kernelsOf } from './kernel-list';
import { meanMetrics, microBatchMetrics, type PairMetrics } from './metrics';
import { optimizerStep } from './optimizer';
import { evalBatches, type PassPair, type ShapedPair, splitPasses } from './passes';
import type { EvalRecord, OrpoMetrics, SampleRecord, StepRecord } from './records';
import type { TrainingPlan } from './run-plan';
import { lrFactor } from './schedule';

const RESULT_BYTES = PAIR_RESULT.length * 4;

export interface TrainerEvents {
  onStep?(record: StepRecord, pairs: number, tokens: number): void;
  onEval?(record: EvalRecord): void;
  onSample?(record: SampleRecord): void;
  /** beta times the log-probability of chosen less that of rejected, for each pair of a step; rows of `plan.train`. */
  onMargins?(step: number, rows: number[], margins: number[]): void;
  /** GPU time of one step by kernel, where {@link RunOptions.profile} asked for it. */
  onKernels?(step: number, times: KernelTime[], milliseconds: number): void;
  onActivity?(activity: string): void;
}

export interface RunOptions {
  /** Stop after this many optimizer steps; the schedule stays that of the whole run. */
  maxSteps?: number;
  /** Aborting ends the run after the step in work. */
  signal?: AbortSignal;
  /** Asked before each step whether to time its kernels; that step is slower. The device needs `timestamp-query`. */
  profile?(): boolean;
  /**
   * Asks for answers of the adapter as it is: before the first step, after every so many and after the last. No step is in
   * work, and the run waits. Whatever is asked leaves the adapter, its moments and the order of pairs alone.
   */
  sample?: { every: number; take(): Promise<Omit<SampleRecord, 'step'>> };
  /** Called after every so many steps, with no step in work; the run waits for it. */
  save?: { every: number; take(): Promise<void> };
}

/** A step's numbers on their way back from the GPU. */
interface PendingStep {
  staging: GPUBuffer;
  order: PassPair[];
  index: number;
  learningRate: number;
}

const IN_FLIGHT = 2;

export class Trainer {
  readonly session: Session;
  readonly plan: TrainingPlan;
  readonly events: TrainerEvents;
  readonly log: StepRecord[] = [];
  readonly evalLog: EvalRecord[] = [];
  readonly sampleLog: SampleRecord[] = [];
  /** Optimizer steps done. */
  step = 0;
  #compiled = false;

  constructor(session: Session, plan: TrainingPlan, events: TrainerEvents = {}) {
    this.session = session;
    this.plan = plan;
    this.events = events;
  }

  /** Goes on from a log of another trainer. The session must hold what that one left (train/checkpoint). */
  resume(log: readonly StepRecord[], evalLog: readonly EvalRecord[], sampleLog: readonly SampleRecord[] = []): void {
    this.log.splice(0, this.log.length, ...log);
    this.evalLog.splice(0, this.evalLog.length, ...evalLog);
    this.sampleLog.splice(0, this.sampleLog.length, ...sampleLog);
    this.step = log.at(-1)?.step ?? 0;
  }

  /**
   * Trains from the next step on. Resolves to true when the whole run is done, false when it was stopped early.
   * @throws TrainingError `non-finite` when a loss or gradient is not finite; the adapter is then that of the step before
   */
  async run(options: RunOptions = {}): Promise<boolean> {
    const { steps } = this.plan;
    const last = Math.min(steps.length, options.maxSteps ?? steps.length);
    const pending: PendingStep[] = [];
    const begin = this.step;
    if (begin < last && !options.signal?.aborted) await this.#compile();
    this.session.model.cmd.clear({ buffer: this.session.memory.get('norm.result') });
    try {
      await this.#steps(last, pending, options);
    } catch (error) {
      // Steps queued after one that was not finite changed nothing (ops/gradient_norm). After any other failure they
      // are done as far as the GPU can still tell. Either way the run can go on from what the log holds.
      if (!(error instanceof TrainingError)) {
        for (const step of pending.splice(0)) await this.#finishStep(step).catch(() => {});
      }
      for (const { staging } of pending) staging.destroy();
      this.step = this.log.at(-1)?.step ?? begin;
      throw error;
    }
    return this.step >= steps.length;
  }

  /** Compiles what the run needs, so that its first step does not wait for one kernel after the other. */
  async #compile(): Promise<void> {
    if (this.#compiled) return;
    const { model } = this.session;
    await model.cmd.kernels.prepare(await kernelsOf(model, this.plan), (done, total) =>
      this.events.onActivity?.(done < total ? `compiling kernels ${done} of ${total}` : 'training'),
    );
    this.#compiled = true;
  }

  async #steps(last: number, pending: PendingStep[], options: RunOptions): Promise<void> {
    const { signal, save, sample, profile } = options;
    const { steps, evalEvery } = this.plan;
    if (sample && this.step === 0 && this.sampleLog.length === 0) await this.#sample(sample);
    while (this.step < last && !signal?.aborted) {
      if (profile?.()) {
        while (pending.length) await this.#finishStep(pending.shift()!);
        await this.#timedStep();
      } else pending.push(await this.#dispatchStep(this.step++));
      if (pending.length >= IN_FLIGHT) await this.#finishStep(pending.shift()!);
      if (this.plan.evaluation.length && evaluatesAfter(this.step, steps.length, evalEvery)) {
        while (pending.length) await this.#finishStep(pending.shift()!);
        await this.evaluate();
      }
      if (sample && evaluatesAfter(this.step, steps.length, sample.every)) {
        while (pending.length) await this.#finishStep(pending.shift()!);
        await this.#sample(sample);
      }
      if (save && save.every > 0 && this.step % save.every === 0 && this.step < steps.length) {
        while (pending.length) await this.#finishStep(pending.shift()!);
        await save.take();
      }
    }
    while (pending.length) await this.#finishStep(pending.shift()!);
  }

  async #sample({ take }: NonNullable<RunOptions['sample']>): Promise<void> {
    this.events.onActivity?.('answering the prompts');
    const record = { step: this.step, ...(await take()) };
    this.sampleLog.push(record);
    this.events.onSample?.(record);
  }

  /** One step alone, every kernel of it timed. */
  async #timedStep(): Promise<void> {
    const { cmd, gpu } = this.session.model;
    await cmd.finish();
    const times = new DispatchTimes(gpu.device);
    const began = performance.now();
    cmd.times = times;
    try {
      await this.#finishStep(await this.#dispatchStep(this.step++));
      const milliseconds = performance.now() - began;
      this.events.onKernels?.(this.step, await times.read(), milliseconds);
    } finally {
      cmd.times = null;
      times.destroy();
    }
  }

  /** Loss and metrics over the evaluation pairs (spec 3.6). */
  async evaluate(): Promise<EvalRecord> {
    this.events.onActivity?.('evaluating');
    const { hparams, evaluation, budget } = this.plan;
    const batches = evalBatches(evaluation.length, hparams.per_device_eval_batch_size);
    const results: PairMetrics[][] = batches.map(() => []);
    for (const pass of splitPasses(batches, evaluation, hparams.beta, budget)) {
      await this.#forward(pass, evaluation, false);
      const { cmd } = this.session.model;
      const bytes = await cmd.read({ buffer: this.session.memory.get('pack.results') }, pass.length * RESULT_BYTES);
      for (const [i, metrics] of readPairs(bytes, pass, evaluation).entries()) results[pass[i].micro].push(metrics);
    }
    const perBatch = results.map((pairs) => microBatchMetrics(pairs, hparams.beta));
    const rowLoss = perBatch.reduce((sum, { loss }, i) => sum + loss * batches[i].length, 0);
    const mean = meanMetrics(perBatch.map((b) => b.metrics));
    const named = Object.fromEntries(Object.entries(mean).map(([key, value]) => [`eval_${key}`, value]));
    const record = { step: this.step, eval_loss: rowLoss / evaluation.length, ...named } as EvalRecord;
    this.evalLog.push(record);
    this.events.onEval?.(record);
    return record;
  }

  /**
   * @param gradient whether a backward follows
   * @param dropout of a training pass; none in evaluation
   */
  async #forward(
    pass: readonly PassPair[],
    rows: readonly ShapedPair[],
    gradient: boolean,
    dropout: DropoutPass | null = null,
  ) {
    const { nll_on_prompt } = this.plan.hparams;
    const tile = this.session.model.gpu.profile.attentionTile;
    const pack = packPairs(
      pass.map(({ row, scales }) => ({ ...rows[row], scales })),
      nll_on_prompt,
      tile,
    );
    await this.session.upload(pack);
    this.session.setDropout(dropout);
    await this.session.forward(pack, gradient);
    return pack;
  }

  async #dispatchStep(index: number): Promise<PendingStep> {
    const { hparams, steps, train, budget, warmup } = this.plan;
    const { model, memory } = this.session;
    const passes = splitPasses(steps[index].micro, train, hparams.beta, budget);
    const order = passes.flat();
    const staging = model.gpu.device.createBuffer({
      label: 'step results',
      size: order.length * RESULT_BYTES + 16,
      usage: 0x01 | 0x08 /* MAP_READ | COPY_DST */,
    });
    // Masks follow the tokens of the step, however they are spread over passes.
    const dropout: DropoutPass = { p: dropoutShare(hparams), seed: dropoutSeed(hparams.seed, index), firstToken: 0 };
    let done = 0;
    for (const [i, pass] of passes.entries()) {
      const pack = await this.#forward(pass, train, true, dropout.p > 0 ? { ...dropout } : null);
      dropout.firstToken += pack.tokens;
      await this.session.backward(pack, i > 0);
      const bytes = pass.length * RESULT_BYTES;
      model.cmd.copy({ buffer: memory.get('pack.results') }, { buffer: staging, offset: done }, bytes);
      done += bytes;
    }
    const learningRate = hparams.learning_rate * lrFactor(hparams.lr_scheduler_type, index, warmup, steps.length);
    optimizerStep(this.session, hparams, index + 1, learningRate);
    model.cmd.copy({ buffer: memory.get('norm.result') }, { buffer: staging, offset: done }, 16);
    model.cmd.flush();
    return { staging, order, index, learningRate };
  }

  async #finishStep(pending: PendingStep): Promise<void> {
    const { staging, order, index, learningRate } = pending;
    const { hparams, steps, train } = this.plan;
    await staging.mapAsync(0x01 /* READ */);
    const bytes = staging.getMappedRange().slice(0);
    staging.destroy();
    const [fault] = this.session.model.gpu.faults;
    if (fault) throw new GpuError('shader', `The GPU refused part of the work: ${fault.slice(0, 300)}`);
    const pairs = readPairs(bytes, order, train);
    const [gradNorm] = new Float32Array(bytes, order.length * RESULT_BYTES, 2);
    const micro = steps[index].micro.map((_, m) => pairs.filter((_, i) => order[i].micro === m));
    const results = micro.map((group) => microBatchMetrics(group, hparams.beta));
    const metrics: OrpoMetrics = meanMetrics(results.map((r) => r.metrics));
    const record: StepRecord = {
      step: index + 1,
      epoch: steps[index].epoch,
      loss: results.reduce((sum, r) => sum + r.loss, 0) / results.length,
      grad_norm: gradNorm,
      learning_rate: learningRate,
      ...metrics,
    };
    if (!Number.isFinite(record.loss) || !Number.isFinite(gradNorm)) throw nonFinite(record, order, pairs);
    this.log.push(record);
    const tokens = order.reduce((sum, { row }) => sum + train[row].shape.tokens, 0);
    this.events.onStep?.(record, order.length, tokens);
    this.events.onMargins?.(
      record.step,
      order.map(({ row }) => row),
      pairs.map(({ logpChosen, logpRejected }) => hparams.beta * (logpChosen - logpRejected)),
    );
  }
}

/** 32 bits of their own for every step of every seed. */
const dropoutSeed = (seed: number, step: number): number =>
  (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(step + 1, 0x85ebca6b)) >>> 0;

function readPairs(bytes: ArrayBuffer, order: readonly PassPair[], rows: readonly ShapedPair[]): PairMetrics[] {
  const values = new Float32Array(bytes, 0, order.length * PAIR_RESULT.length);
  return order.map(({ row }, i) => {
    const at = i * PAIR_RESULT.length;
    const named = Object.fromEntries(PAIR_RESULT.map((name, j) => [name, values[at + j]])) as unknown as PairLoss;
    const { shape } = rows[row];
    return {
      ...named,
      nllTokens: shape.nllTokens,
      logitRows: { chosen: shape.chosenRows, rejected: shape.rejectedRows },
    };
  });
}

function nonFinite(record: StepRecord, order: readonly PassPair[], pairs: readonly PairMetrics[]): TrainingError {
  const bad = order
    .filter((_, i) => {
      const { nllSum, logpChosen, logpRejected, logOddsRatio } = pairs[i];
      return !Number.isFinite(nllSum + logpChosen + logpRejected + logOddsRatio);
    })
    .map(({ row }) => row + 1);
  const where = bad.length ? `pair ${bad.join(', ')}` : 'the gradient';
  return new TrainingError(
    'non-finite',
    `Step ${record.step}: ${where} gave a number that is not finite. The adapter was left as it was after step ` +
      `${record.step - 1}. Lower learning_rate or raise warmup_steps, and look at that pair's text.`,
  );
}
