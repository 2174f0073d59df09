/** Whole ORPO steps of a random model: tokens per second as TRL counts them, memory, and where the time goes. */
import type { TokenizedPair } from '../data/types';
import type { KernelTime } from '../gpu/timing';
import type { LoadedModel } from '../model/session';
import type { HParams } from '../train/hparams';
import { SteadyRun } from './steady';

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
  submits: number;
  /** Milliseconds of the longest submit, as far as the clock on the wall tells. */
  longestSubmit: number;
  loss: number;
  kernels: KernelTime[];
}

/** Pairs of random tokens, alike at each call. */
export function randomPairs(c: StepCase, count: number, vocab: number): TokenizedPair[] {
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

/** Random pairs, ready for `total` steps. */
function openSteps(model: LoadedModel, c: StepCase, total: number): Promise<SteadyRun> {
  const pairs = randomPairs(c, c.pairs * total, model.config.vocabSize);
  const budget = c.pairs * 2 * c.length;
  return SteadyRun.open(model, pairs, c.pairs, total, budget, { max_length: c.length, ...c.hparams });
}

export interface FirstSteps {
  /** Milliseconds until the end of each step, compiling and allocating included. */
  ends: number[];
  losses: number[];
  runBytes: number;
}

/** The first steps of a model that was just loaded, as a visitor waits for them. */
export async function firstSteps(model: LoadedModel, c: StepCase, steps: number): Promise<FirstSteps> {
  const began = performance.now();
  const run = await openSteps(model, c, steps);
  const opened = performance.now() - began;
  const ends = (await run.ends(steps)).map((end) => opened + end);
  const { losses, runBytes } = run;
  run.destroy();
  return { ends, losses, runBytes };
}

/** Trains for `steps` steps after two to warm up, then once more with every dispatch timed when `profile` is set. */
export async function stepTime(model: LoadedModel, c: StepCase, steps: number, profile: boolean): Promise<StepResult> {
  const { cmd, weightMemory } = model;
  const warm = 2;
  const run = await openSteps(model, c, steps + warm + (profile ? 1 : 0));
  await run.time(warm);
  const before = cmd.dispatches;
  cmd.submits = { count: 0, longest: 0 };
  const ms = (await run.time(steps)) / steps;
  const dispatches = (cmd.dispatches - before) / steps;
  const { count, longest } = cmd.submits;
  const kernels = profile ? await run.kernels(1) : [];
  const result: StepResult = {
    ms,
    tokensPerSecond: (c.pairs * 2 * c.length * 1000) / ms,
    pairsPerSecond: (c.pairs * 1000) / ms,
    weightBytes: weightMemory.bytes,
    runBytes: run.runBytes,
    dispatches,
    submits: count / steps,
    longestSubmit: longest,
    loss: run.losses.at(-1) ?? Number.NaN,
    kernels,
  };
  run.destroy();
  return result;
}

/** The longest kernels of a profile. */
export function kernelLines(kernels: readonly KernelTime[], most: number): string[] {
  return kernels.slice(0, most).map(({ name, dispatches, ms, cost }) => {
    const rate = cost > 0 ? `  ${(cost / ms / 1e9).toPrecision(3)} TFLOP/s` : '';
    return `  ${name.padEnd(64)} ${String(dispatches).padStart(5)} x ${ms.toFixed(2).padStart(9)} ms${rate}`;
  });
}

/** Products of the same weights with any number of rows as one, for batches of many lengths. */
export function anyRows(kernels: readonly KernelTime[]): KernelTime[] {
  const sums = new Map<string, KernelTime>();
  for (const kernel of kernels) {
    const name = kernel.name.replace(/ \d+x(\d+x\d+)/, ' $1');
    const sum = sums.get(name) ?? { name, dispatches: 0, ms: 0, cost: 0 };
    sums.set(name, sum);
    sum.dispatches += kernel.dispatches;
    sum.ms += kernel.ms;
    sum.cost += kernel.cost;
  }
  return [...sums.values()].sort((a, b) => b.ms - a.ms);
}
