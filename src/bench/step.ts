/** Whole ORPO steps of a random model: tokens per second as TRL counts them, memory, and where the time goes. */
import type { TokenizedPair } from '../data/types';
import type { KernelTime } from '../gpu/timing';
import { DispatchTimes } from '../gpu/timing';
import { initialAdapter, uploadAdapter } from '../model/adapter';
import type { LoadedModel } from '../model/session';
import { Session } from '../model/session';
import { DEFAULT_HPARAMS, type HParams } from '../train/hparams';
import { planTraining } from '../train/run-plan';
import { Trainer } from '../train/trainer';

export interface StepCase {
  pairs: number;
  /** Tokens of each of a pair's two sequences. */
  length: number;
  /** Tokens at their beginning that both share. */
  prompt: number;
  hparams?: Partial<HParams>;
}

export interface StepResult {
  /** Milliseconds of one optimizer step. */
  ms: number;
  /** Both sequences of every pair at full length, as a trainer with padding counts them, per second. */
  tokensPerSecond: number;
  pairsPerSecond: number;
  weightBytes: number;
  runBytes: number;
  dispatches: number;
  loss: number;
  kernels: KernelTime[];
}

function randomPairs(c: StepCase, count: number, vocab: number): TokenizedPair[] {
  let state = 7;
  const id = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * vocab);
  };
  const ids = (length: number) => Array.from({ length }, id);
  const labels = (sequence: number[]) => sequence.map((token, at) => (at < c.prompt ? -100 : token));
  return Array.from({ length: count }, () => {
    const prompt = ids(c.prompt);
    const chosen = [...prompt, ...ids(c.length - c.prompt)];
    const rejected = [...prompt, ...ids(c.length - c.prompt)];
    return {
      chosen_input_ids: chosen,
      chosen_labels: labels(chosen),
      rejected_input_ids: rejected,
      rejected_labels: labels(rejected),
    };
  });
}

/** A session over random pairs, ready for `total` steps. */
async function openSteps(model: LoadedModel, c: StepCase, total: number, ends: number[]) {
  const { gpu, config } = model;
  const hparams: HParams = {
    ...DEFAULT_HPARAMS,
    per_device_train_batch_size: c.pairs,
    gradient_accumulation_steps: 1,
    max_length: c.length,
    max_steps: total,
    ...c.hparams,
  };
  const pairs = randomPairs(c, c.pairs * total, config.vocabSize);
  const budget = c.pairs * 2 * c.length;
  const plan = planTraining(config, gpu.device.limits, gpu.profile.attentionTile, hparams, pairs, [], budget);
  const session = await Session.create(model, plan.lora, plan.capacity, hparams);
  uploadAdapter(session, initialAdapter(plan.lora, 0));
  return { session, trainer: new Trainer(session, plan, { onStep: () => ends.push(performance.now()) }) };
}

export interface FirstSteps {
  /** Milliseconds until the end of each step, compiling and allocating included. */
  ends: number[];
  losses: number[];
  runBytes: number;
}

/** The first steps of a model that was just loaded, as a visitor waits for them. */
export async function firstSteps(model: LoadedModel, c: StepCase, steps: number): Promise<FirstSteps> {
  const ends: number[] = [];
  const began = performance.now();
  const { session, trainer } = await openSteps(model, c, steps, ends);
  await trainer.run();
  const runBytes = session.memory.bytes;
  session.destroy();
  return { ends: ends.map((end) => end - began), losses: trainer.log.map(({ loss }) => loss), runBytes };
}

/** Trains for `steps` steps after two to warm up, then once more with every dispatch timed when `profile` is set. */
export async function stepTime(model: LoadedModel, c: StepCase, steps: number, profile: boolean): Promise<StepResult> {
  const { gpu, cmd, weightMemory } = model;
  const warm = 2;
  const total = steps + warm + (profile ? 1 : 0);
  const ends: number[] = [];
  const { session, trainer } = await openSteps(model, c, total, ends);
  await trainer.run({ maxSteps: warm });
  const before = cmd.dispatches;
  ends.splice(0);
  const start = performance.now();
  await trainer.run({ maxSteps: warm + steps });
  const ms = (ends.at(-1)! - start) / steps;
  const dispatches = (cmd.dispatches - before) / steps;
  let kernels: KernelTime[] = [];
  if (profile && gpu.device.features.has('timestamp-query')) {
    cmd.times = new DispatchTimes(gpu.device);
    await trainer.run({ maxSteps: total });
    await cmd.finish();
    kernels = await cmd.times.read();
    cmd.times = null;
  }
  const result: StepResult = {
    ms,
    tokensPerSecond: (c.pairs * 2 * c.length * 1000) / ms,
    pairsPerSecond: (c.pairs * 1000) / ms,
    weightBytes: weightMemory.bytes,
    runBytes: session.memory.bytes,
    dispatches,
    loss: trainer.log.at(-1)?.loss ?? Number.NaN,
    kernels,
  };
  session.destroy();
  return result;
}
