/** Learning rates of transformers' get_scheduler, from its formulas. */
import { describe, expect, test } from 'vitest';
import { LR_SCHEDULER_TYPES } from '../../src/train/hparams';
import { lrFactor } from '../../src/train/schedule';
import { lrFactor as reference } from '../reference/schedule';

const factors = (type: Parameters<typeof lrFactor>[0], warmup: number, total: number) =>
  Array.from({ length: total }, (_, k) => lrFactor(type, k, warmup, total));

describe('by hand', () => {
  test('linear: up over the warm-up from 0, down to one step above 0', () => {
    expect(factors('linear', 2, 6)).toEqual([0, 0.5, 1, 0.75, 0.5, 0.25]);
    expect(factors('linear', 0, 4)).toEqual([1, 0.75, 0.5, 0.25]);
  });

  test('cosine: half a wave', () => {
    const [first, , middle] = factors('cosine', 0, 4);
    expect(first).toBe(1);
    expect(middle).toBeCloseTo(0.5, 12);
    expect(factors('cosine', 0, 4)[3]).toBeCloseTo(0.5 * (1 - Math.SQRT1_2), 12);
    expect(factors('cosine', 3, 8).slice(0, 4)).toEqual([0, 1 / 3, 2 / 3, 1]);
  });

  test('constant knows no warm-up, constant_with_warmup does', () => {
    expect(factors('constant', 2, 4)).toEqual([1, 1, 1, 1]);
    expect(factors('constant_with_warmup', 2, 4)).toEqual([0, 0.5, 1, 1]);
  });

  test('inverse_sqrt: the timescale is the warm-up, or 10,000 without one', () => {
    expect(factors('inverse_sqrt', 4, 17)[16]).toBeCloseTo(Math.sqrt(4 / 16), 12);
    expect(lrFactor('inverse_sqrt', 30_000, 0, 40_000)).toBeCloseTo(0.5, 12);
  });

  test('a warm-up as long as the run or longer', () => {
    expect(factors('linear', 4, 4)).toEqual([0, 0.25, 0.5, 0.75]);
    expect(factors('cosine', 9, 3)).toEqual([0, 1 / 9, 2 / 9]);
  });
});

test.each(LR_SCHEDULER_TYPES)('%s against the reference', (type) => {
  for (const [warmup, total] of [
    [0, 1],
    [0, 25],
    [1, 24],
    [7, 24],
    [24, 24],
  ]) {
    for (let k = 0; k < total; k++) expect(lrFactor(type, k, warmup, total)).toBe(reference(type, k, warmup, total));
  }
});
