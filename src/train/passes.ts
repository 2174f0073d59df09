/**
 * How the pairs of an optimizer step are spread over packed passes. Micro-batches live only in the pairs' scales
 * (spec 1.3), so how many of them share a pass is free: passes are filled up to a budget of tokens.
 */
import { type PairScales, type PairShape, pairShape } from '../data/packing';
import type { StepPlan } from '../data/sampler';
import type { TokenizedPair } from '../data/types';
import type { PackCapacity } from '../model/plan';
import type { HParams } from './hparams';

export interface ShapedPair {
  pair: TokenizedPair;
  shape: PairShape;
}

export const shapePairs = (pairs: readonly TokenizedPair[], nllOnPrompt: boolean, tile: number): ShapedPair[] =>
  pairs.map((pair) => ({ pair, shape: pairShape(pair, nllOnPrompt, tile) }));

/** One pair of a pass: which row it is, which micro-batch it belongs to, and its scales. */
export interface PassPair {
  row: number;
  micro: number;
  scales: PairScales;
}

/** Splits groups of rows (micro-batches) into passes of at most `budget` tokens; a longer pair gets its own pass. */
export function splitPasses(
  micro: readonly (readonly number[])[],
  rows: readonly ShapedPair[],
  beta: number,
  budget: number,
): PassPair[][] {
  const passes: PassPair[][] = [];
  let tokens = Number.POSITIVE_INFINITY;
  micro.forEach((group, m) => {
    const nllTokens = group.reduce((sum, row) => sum + rows[row].shape.nllTokens, 0);
    const scales = { nll: 1 / (micro.length * nllTokens), oddsRatio: beta / (micro.length * group.length) };
    for (const row of group) {
      const size = rows[row].shape.tokens;
      if (tokens + size > budget) {
        passes.push([]);
        tokens = 0;
      }
      passes.at(-1)!.push({ row, micro: m, scales });
      tokens += size;
    }
  });
  return passes;
}

/** Consecutive batches of rows for evaluation. */
export function evalBatches(rows: number, batchSize: number): number[][] {
  const batches: number[][] = [];
  for (let i = 0; i < rows; i += batchSize) {
    batches.push(Array.from({ length: Math.min(batchSize, rows - i) }, (_, j) => i + j));
  }
  return batches;
}

/** Tokens per pass: a whole step when it is small, never less than the longest pair. */
export function tokenBudget(steps: readonly StepPlan[], rows: readonly ShapedPair[], most: number): number {
  const longest = rows.reduce((max, r) => Math.max(max, r.shape.tokens), 0);
  const step = steps.reduce(
    (max, s) =>
      Math.max(
        max,
        s.micro.flat().reduce((sum, row) => sum + rows[row].shape.tokens, 0),
      ),
    0,
  );
  return Math.max(longest, Math.min(step, most));
}

/** The largest pass of a run, count by count. */
export function passCapacity(
  steps: readonly StepPlan[],
  train: readonly ShapedPair[],
  evaluation: readonly ShapedPair[],
  hparams: HParams,
  budget: number,
): PackCapacity {
  const capacity: PackCapacity = { tokens: 0, rows: 0, entries: 0, tiles: 0, pairs: 0, positions: 1 };
  const grow = (passes: PassPair[][], rows: readonly ShapedPair[]) => {
    for (const pass of passes) {
      for (const key of ['tokens', 'rows', 'entries', 'tiles'] as const) {
        const size = pass.reduce((sum, { row }) => sum + rows[row].shape[key], 0);
        capacity[key] = Math.max(capacity[key], size);
      }
      capacity.pairs = Math.max(capacity.pairs, pass.length);
    }
  };
  for (const { micro } of steps) grow(splitPasses(micro, train, hparams.beta, budget), train);
  const batches = evalBatches(evaluation.length, hparams.per_device_eval_batch_size);
  grow(splitPasses(batches, evaluation, hparams.beta, budget), evaluation);
  for (const { pair } of [...train, ...evaluation]) {
    const length = Math.max(pair.chosen_input_ids.length, pair.rejected_input_ids.length);
    capacity.positions = Math.max(capacity.positions, length);
  }
  return capacity;
}
