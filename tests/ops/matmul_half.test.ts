/** Products of f16 operands, in both directions, with everything that rides in the epilogue. */
import { describe, expect, test } from 'vitest';
import type { KernelProfile } from '../../src/gpu/profile';
import { HalfOperands } from '../../src/ops/half';
import { MatmulOps, type ProductOptions, type Rows } from '../../src/ops/matmul';
import { PARTIAL_VALUES, splitCount } from '../../src/ops/tile-choice';
import type { WeightFormat } from '../../src/ops/weight';
import { linear, linearBackwardInput } from '../reference/linear';
import { createRng, type Rng } from '../reference/rng';
import { upload } from '../support/gpu';
import { cmd, device, expectWithin, gpuProfiles, input, output, randomWeight, read, run } from './support';

const tile = { bm: 32, bn: 64, bk: 32, tm: 4, tn: 8, unroll: 8 };
const profile: KernelProfile = { ...gpuProfiles['GPU, small tile'], tier: 'f16', half: { large: tile, small: tile } };
const scratch = () => ({
  x: output(2 ** 17).buffer,
  factors: output(512).buffer,
  w: output(2 ** 17).buffer,
});

interface Case {
  direction: 'forward' | 'backward';
  tokens: number;
  rows: number;
  columns: number;
  format: WeightFormat;
  rank?: number;
  residual?: boolean;
  accumulate?: boolean;
  columnScale?: boolean;
  alpha?: number;
  split?: boolean;
  bindingLimit?: number;
  range?: [number, number];
  /** Powers of ten that rows of X are spread over. */
  spread?: number;
}

/** Squares of the terms of a product, summed: what rounding errors of its operands and partial sums scale with. */
const squares = (values: Float64Array) => values.map((v) => v * v);

/**
 * Rounding both operands and summing 32 terms in f16 gives an error whose standard deviation is some
 * (0.5 + 0.28 sqrt(32)) 2^-11 of the root of the terms' squares; six of them are allowed.
 */
const TOLERANCE = 13 * 2 ** -11;

async function product(c: Case, rng: Rng) {
  const { tokens, alpha = 1, rank = 0, spread = 0 } = c;
  const { weight, values } = randomWeight(rng, c.rows, c.columns, c);
  const forward = c.direction === 'forward';
  const apply = forward ? linear : linearBackwardInput;
  const [first, last] = c.range ?? [0, c.rows];
  const used = values.subarray(first * c.columns, last * c.columns);
  const dims = { tokens, inFeatures: c.columns, outFeatures: last - first };
  const [inWidth, outWidth] = forward ? [c.columns, last - first] : [last - first, c.columns];
  const x = rng.normals(tokens * inWidth);
  for (let t = 0; t < tokens; t++) {
    const size = 10 ** (spread * (rng.uniform() - 0.5));
    for (let i = 0; i < inWidth; i++) x[t * inWidth + i] *= size;
  }
  const expected = apply(x, used, dims).map((v) => alpha * v);
  const variance = apply(squares(x), squares(used), dims).map((v) => alpha * alpha * v);
  const exact = new Float64Array(tokens * outWidth);
  const options: ProductOptions = { alpha, accumulate: c.accumulate };
  if (rank) {
    const u = rng.normals(tokens * rank, 0.1);
    const v = rng.normals(outWidth * rank, 0.05);
    for (let t = 0; t < tokens; t++) for (let r = 0; r < rank; r++) u[t * rank + r] *= Math.abs(x[t * inWidth]);
    const lora = { tokens, inFeatures: rank, outFeatures: outWidth };
    linear(u, v, lora).forEach((value, i) => {
      expected[i] += value;
    });
    linear(squares(u), squares(v), lora).forEach((value, i) => {
      variance[i] += value;
    });
    const stored = forward ? v : new Float64Array(v.length);
    if (!forward)
      for (let o = 0; o < outWidth; o++) for (let r = 0; r < rank; r++) stored[r * outWidth + o] = v[o * rank + r];
    options.lora = {
      u: { view: input(u), ld: rank },
      v: { view: input(stored), ld: forward ? rank : outWidth },
      rank,
    };
  }
  if (c.columnScale) {
    const scale = rng.normals(outWidth + 4);
    options.columnScale = { view: input(scale), offset: 4 };
    for (let i = 0; i < expected.length; i++) {
      expected[i] *= scale[4 + (i % outWidth)];
      variance[i] *= scale[4 + (i % outWidth)] ** 2;
    }
  }
  const addIn = (): Rows => {
    const added = rng.normals(tokens * outWidth);
    added.forEach((value, i) => {
      expected[i] += value;
      exact[i] += Math.abs(value);
    });
    return { view: input(added), ld: outWidth };
  };
  if (c.residual) options.residual = addIn();
  const ld = outWidth + 4;
  const y: Rows = { view: output(tokens * ld), ld, offset: 4 };
  if (c.accumulate) {
    const { view } = addIn();
    const old = await read(view);
    const all = new Float32Array(tokens * ld).fill(Number.NaN);
    for (let t = 0; t < tokens; t++)
      all.set(old.subarray(t * outWidth, (t + 1) * outWidth).subarray(0, ld - 4), t * ld + 4);
    y.view = { buffer: upload(device, all) };
  }
  const half = new HalfOperands(cmd, profile, scratch());
  const ops = new MatmulOps(cmd, profile, c.split ? output(PARTIAL_VALUES) : undefined, undefined, half);
  const before = cmd.dispatches;
  await run(() => ops[c.direction](weight, tokens, { view: input(x), ld: inWidth }, y, options, c.range));
  const dispatches = cmd.dispatches - before;
  const all = await read(y.view);
  const actual = new Float32Array(tokens * outWidth);
  for (let t = 0; t < tokens; t++) actual.set(all.subarray(4 + t * ld, 4 + t * ld + outWidth), t * outWidth);
  const around = Array.from({ length: tokens }, (_, t) => [...all.subarray(t * ld, t * ld + 4)]).flat();
  const bound = variance.map((v, i) => TOLERANCE * Math.sqrt(v) + 2 ** -21 * exact[i]);
  return { actual, expected, bound, around, dispatches, x, used, dims, apply, alpha };
}

const CASES: Case[] = [
  { direction: 'forward', tokens: 70, rows: 136, columns: 192, format: 'NF4', rank: 16, residual: true },
  { direction: 'forward', tokens: 33, rows: 64, columns: 64, format: 'F32', alpha: 0.25, spread: 12 },
  { direction: 'forward', tokens: 40, rows: 72, columns: 96, format: 'BF16', rank: 4, columnScale: true },
  { direction: 'forward', tokens: 40, rows: 136, columns: 64, format: 'F16', range: [16, 128], accumulate: true },
  { direction: 'forward', tokens: 64, rows: 64, columns: 512, format: 'NF4', rank: 8, residual: true, split: true },
  { direction: 'backward', tokens: 70, rows: 128, columns: 136, format: 'NF4', rank: 16, accumulate: true },
  { direction: 'backward', tokens: 33, rows: 96, columns: 64, format: 'F32', alpha: 0.25, spread: 12 },
  {
    direction: 'backward',
    tokens: 33,
    rows: 512,
    columns: 64,
    format: 'BF16',
    rank: 40,
    split: true,
    accumulate: true,
  },
  { direction: 'backward', tokens: 40, rows: 128, columns: 72, format: 'F32', bindingLimit: 72 * 4 * 64, rank: 4 },
];

const why = device.features.has('shader-f16') ? '' : ' (skipped: this driver has no shader-f16; lavapipe does)';

describe.skipIf(why)(`products of f16 operands${why}`, () => {
  const rng = createRng(5);
  test.each(CASES.map((c) => [JSON.stringify(c).replace(/[{}"]/g, ''), c] as const))('%s', async (_, c) => {
    if (c.split)
      expect(splitCount(tile, c.tokens, c.direction === 'forward' ? c.rows : c.columns, 512)).toBeGreaterThan(1);
    const r = await product(c, rng);
    // Rows, weight, product: had it been made in f32, there were one.
    expect(r.dispatches).toBeGreaterThanOrEqual(3);
    expectWithin(r.actual, r.expected, r.bound);
    expect(r.around.slice(0).filter((v) => !Number.isNaN(v)).length).toBe(0);
  });

  test.each(['forward', 'backward'] as const)(
    '%s: a weight off by a tenth of a typical one fails',
    async (direction) => {
      const r = await product({ direction, tokens: 40, rows: 64, columns: 64, format: 'F32' }, rng);
      expectWithin(r.actual, r.expected, r.bound);
      const wrong = r.used.slice();
      wrong[rng.int(wrong.length)] += 0.02;
      const off = r.apply(r.x, wrong, r.dims);
      expect(() => expectWithin(r.actual, off, r.bound)).toThrow(/times the bound/);
    },
  );
});
