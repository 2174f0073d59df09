/** Passes over the pairs of a step: budgets, scales and capacities; and the plan of a whole run. */
import { describe, expect, test } from 'vitest';
import { packPairs } from '../../src/data/packing';
import { plannedStretch } from '../../src/model/plan';
import { TrainingError } from '../../src/train/errors';
import { DEFAULT_HPARAMS, type HParams } from '../../src/train/hparams';
import { evalBatches, passCapacity, shapePairs, splitPasses, tokenBudget } from '../../src/train/passes';
import { planTraining } from '../../src/train/run-plan';
import { randomPair } from '../reference/random-model';
import { createRng } from '../reference/rng';

const rng = createRng(1);
/** Tokens: prompt + both answers (their first tokens differ). */
const pairs = [
  [4, 3, 3],
  [10, 5, 5],
  [2, 1, 1],
  [6, 2, 8],
  [30, 6, 4],
  [1, 2, 2],
].map(([prompt, chosen, rejected]) => randomPair(rng, 50, prompt, chosen, rejected));
const rows = shapePairs(pairs, true, 4);

test('shapes of the pairs', () => {
  expect(rows.map((r) => r.shape.tokens)).toEqual([10, 20, 4, 16, 40, 5]);
  expect(rows.map((r) => r.shape.nllTokens)).toEqual([6, 14, 2, 7, 35, 2]);
});

describe('splitPasses', () => {
  const micro = [[0, 1], [2], [3, 4, 5]];

  test.each([
    [1, [[0], [1], [2], [3], [4], [5]]],
    [24, [[0], [1, 2], [3], [4], [5]]],
    [30, [[0, 1], [2, 3], [4], [5]]],
    [1000, [[0, 1, 2, 3, 4, 5]]],
  ])('budget %i', (budget, expected) => {
    const passes = splitPasses(micro, rows, 0.2, budget);
    expect(passes.map((pass) => pass.map(({ row }) => row))).toEqual(expected);
    for (const pass of passes) {
      const tokens = pass.reduce((sum, { row }) => sum + rows[row].shape.tokens, 0);
      expect(pass.length === 1 || tokens <= budget).toBe(true);
    }
  });

  test('scales are those of the micro-batch, whatever the passes', () => {
    for (const budget of [1, 30, 1000]) {
      const all = splitPasses(micro, rows, 0.2, budget).flat();
      expect(all.map(({ micro }) => micro)).toEqual([0, 0, 1, 2, 2, 2]);
      // 1 / (G N) and beta / (G B).
      expect(all.map(({ scales }) => scales.nll)).toEqual([20, 20, 2, 44, 44, 44].map((n) => 1 / (3 * n)));
      const { oddsRatio } = all[0].scales;
      expect(oddsRatio).toBeCloseTo(0.2 / 6, 15);
      expect(all[2].scales.oddsRatio).toBeCloseTo(0.2 / 3, 15);
      expect(all[3].scales.oddsRatio).toBeCloseTo(0.2 / 9, 15);
    }
  });
});

test('evalBatches: whole ones, then the rest', () => {
  expect(evalBatches(5, 2)).toEqual([[0, 1], [2, 3], [4]]);
  expect(evalBatches(2, 4)).toEqual([[0, 1]]);
  expect(evalBatches(0, 2)).toEqual([]);
});

test('tokenBudget: a whole step when that is less, never less than the longest pair', () => {
  const steps = [
    { epoch: 0.5, micro: [[0, 1], [2]] },
    { epoch: 1, micro: [[3, 4], [5]] },
  ];
  expect(tokenBudget(steps, rows, 4096)).toBe(61);
  expect(tokenBudget(steps, rows, 50)).toBe(50);
  expect(tokenBudget(steps, rows, 8)).toBe(40);
});

describe('capacity', () => {
  const hparams: HParams = { ...DEFAULT_HPARAMS, per_device_eval_batch_size: 2 };
  const evalRows = shapePairs([randomPair(rng, 50, 70, 3, 3), randomPair(rng, 50, 3, 3, 3)], true, 4);

  test('every pass of the run fits, some of them exactly', () => {
    const steps = [{ epoch: 1, micro: [[0, 1], [2], [3, 4, 5]] }];
    for (const budget of [1, 30, 1000]) {
      const capacity = passCapacity(steps, rows, evalRows, hparams, budget);
      const packs = [
        ...splitPasses(steps[0].micro, rows, 1, budget).map((pass) => ({ pass, rows })),
        ...splitPasses(evalBatches(2, 2), evalRows, 1, budget).map((pass) => ({ pass, rows: evalRows })),
      ].map(({ pass, rows }) =>
        packPairs(
          pass.map(({ row, scales }) => ({ ...rows[row], scales })),
          true,
          4,
        ),
      );
      for (const key of ['tokens', 'rows', 'entries', 'tiles', 'pairs'] as const) {
        expect(Math.max(...packs.map((p) => p[key])), key).toBe(capacity[key]);
      }
      expect(capacity.positions).toBe(73);
    }
  });

  test('no evaluation, no room for it', () => {
    const steps = [{ epoch: 1, micro: [[0]] }];
    expect(passCapacity(steps, rows.slice(0, 1), [], hparams, 1)).toMatchObject({ tokens: 10, pairs: 1, positions: 7 });
  });
});

describe('planTraining', () => {
  const config = {
    vocabSize: 50,
    hiddenSize: 16,
    intermediateSize: 20,
    layers: 2,
    heads: 4,
    kvHeads: 2,
    headDim: 4,
    maxPositions: 512,
    rmsNormEps: 1e-5,
    tieWordEmbeddings: true,
    rope: { theta: 1e4, type: 'default', factor: 1, lowFreqFactor: 1, highFreqFactor: 1, originalMaxPositions: 512 },
  } as const;
  const limits = { maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27 };
  const hparams: HParams = {
    ...DEFAULT_HPARAMS,
    num_train_epochs: 2,
    per_device_train_batch_size: 2,
    gradient_accumulation_steps: 2,
    warmup_steps: 0.3,
    eval_steps: 0.5,
  };

  test('steps, shares of steps, and one budget', () => {
    const plan = planTraining(config, limits, { attentionTile: 16 }, hparams, pairs, pairs.slice(0, 2));
    // Three micro-batches an epoch, in groups of two: two steps, of which the second is short.
    expect(plan.steps.map((s) => s.micro.length)).toEqual([2, 1, 2, 1]);
    expect(plan.steps.map((s) => s.epoch)).toEqual([2 / 3, 1, 1 + 2 / 3, 2]);
    expect(plan.warmup).toBe(2);
    expect(plan.evalEvery).toBe(2);
    expect(plan.budget).toBeLessThanOrEqual(95);
    expect(plan.capacity.tokens).toBeLessThanOrEqual(plan.budget);
    expect(new Set(plan.buffers.map((b) => b.name)).size).toBe(plan.buffers.length);
  });

  test('a small budget makes small buffers', () => {
    const bytes = (most: number) =>
      planTraining(config, limits, { attentionTile: 16 }, hparams, pairs, [], most).buffers.find(
        (b) => b.name === 'hidden.0',
      )!.bytes;
    expect(bytes(1)).toBe(40 * 16 * 4);
    expect(bytes(4096)).toBeGreaterThan(bytes(1));
  });

  test('the second half of a layer takes more tokens at a time where the device has room, and never more than a binding', () => {
    const stretch = (mlpBytes: number | undefined, most: number) => {
      const bound = { ...limits, maxStorageBufferBindingSize: most };
      return planTraining(config, bound, { attentionTile: 16, mlpBytes }, hparams, pairs, []).capacity.stretch;
    };
    const bytes = 200 * 2 * config.intermediateSize * 4;
    expect(stretch(undefined, 2 ** 27)).toBeUndefined();
    expect(stretch(bytes, 2 ** 27)).toBe(192);
    expect(stretch(bytes, 0.9 * bytes)).toBe(128);
  });

  test('or with a model that leaves memory to spare', () => {
    const kernels = { spareMlpBytes: 200 * 2 * config.intermediateSize * 4 };
    expect(plannedStretch(config, limits, kernels)).toBe(192);
    expect(plannedStretch({ ...config, vocabSize: 2 ** 28 }, limits, kernels)).toBeUndefined();
  });

  test('nothing to train on is an error that says what to do', () => {
    const run = () => planTraining(config, limits, { attentionTile: 16 }, hparams, [], pairs);
    expect(run).toThrow(TrainingError);
    expect(run).toThrow(/Load a file with usable pairs/);
  });
});
