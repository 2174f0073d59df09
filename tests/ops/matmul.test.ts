/** Matrix products in both directions, weights in every format, with everything that rides in the epilogue. */
import { describe, expect, test } from 'vitest';
import { type KernelProfile, profileFor } from '../../src/gpu/profile';
import { MatmulOps, type ProductOptions, type Rows } from '../../src/ops/matmul';
import { chooseTile, PARTIAL_VALUES, type ProductSize, productTime, splitParts } from '../../src/ops/tile-choice';
import type { WeightFormat } from '../../src/ops/weight';
import { linear, linearBackwardInput, linearBackwardWeight } from '../reference/linear';
import { createRng, type Rng } from '../reference/rng';
import { upload } from '../support/gpu';
import {
  abs,
  cmd,
  device,
  EPS,
  expectWithin,
  gpuProfiles,
  input,
  output,
  profileCases,
  randomWeight,
  read,
  readRoundings,
  run,
} from './support';

interface Case {
  direction: 'forward' | 'backward';
  tokens: number;
  rows: number;
  columns: number;
  format: WeightFormat;
  nested?: boolean;
  /** LoRA of this rank, padded with zeros to a multiple of 4. */
  rank?: number;
  residual?: boolean;
  accumulate?: boolean;
  alpha?: number;
  bindingLimit?: number;
  range?: [number, number];
  /** Offers room for partial results. */
  split?: boolean;
}

/** [tokens, width] inside rows of `ld` values, `offset` before the first; what lies around is NaN. */
function embed(values: Float64Array, tokens: number, width: number, ld: number, offset: number): Rows {
  const all = new Float32Array(offset + tokens * ld).fill(Number.NaN);
  for (let t = 0; t < tokens; t++) all.set(values.subarray(t * width, (t + 1) * width), offset + t * ld);
  return { view: { buffer: upload(device, all) }, ld, offset };
}

/** Columns of each row padded with zeros to a width. */
function padColumns(values: Float64Array, rows: number, from: number, to: number): Float64Array {
  const out = new Float64Array(rows * to);
  for (let r = 0; r < rows; r++) out.set(values.subarray(r * from, (r + 1) * from), r * to);
  return out;
}

/** Runs one product and returns what it wrote with the reference and the rounding bound of every element. */
async function product(profile: KernelProfile, c: Case, rng: Rng) {
  const { tokens, rank = 0, alpha = 1 } = c;
  const { weight, values } = randomWeight(rng, c.rows, c.columns, c);
  const forward = c.direction === 'forward';
  const [first, last] = c.range ?? [0, c.rows];
  const used = values.subarray(first * c.columns, last * c.columns);
  const rows = last - first;
  const dims = { tokens, inFeatures: c.columns, outFeatures: rows };
  const [inWidth, outWidth] = forward ? [c.columns, rows] : [rows, c.columns];
  const apply = forward ? linear : linearBackwardInput;

  const x = rng.normals(tokens * inWidth);
  const expected = apply(x, used, dims).map((v) => alpha * v);
  const size = apply(abs(x), abs(used), dims).map((v) => Math.abs(alpha) * v);
  const options: ProductOptions = { alpha, accumulate: c.accumulate };
  if (rank > 0) {
    const padded = Math.ceil(rank / 4) * 4;
    const u = rng.normals(tokens * rank);
    const v = rng.normals(outWidth * rank, 0.5);
    const lora = { tokens, inFeatures: rank, outFeatures: outWidth };
    // Forward V is B [out, rank]; backward it is A [rank, in], the transpose of what `linear` takes.
    const delta = linear(u, v, lora);
    const deltaSize = linear(abs(u), abs(v), lora);
    for (let i = 0; i < expected.length; i++) {
      expected[i] += delta[i];
      size[i] += deltaSize[i];
    }
    const stored = forward ? padColumns(v, outWidth, rank, padded) : new Float64Array(padded * outWidth);
    if (!forward)
      for (let o = 0; o < outWidth; o++) for (let k = 0; k < rank; k++) stored[k * outWidth + o] = v[o * rank + k];
    options.lora = {
      u: embed(padColumns(u, tokens, rank, padded), tokens, padded, padded + 8, 4),
      v: { view: input(stored), ld: forward ? padded : outWidth },
      rank: padded,
    };
  }
  const addIn = () => {
    const values = rng.normals(tokens * outWidth);
    for (let i = 0; i < expected.length; i++) {
      expected[i] += values[i];
      size[i] += Math.abs(values[i]);
    }
    return values;
  };
  const ld = Math.ceil(outWidth / 4) * 4 + 4;
  const offset = 8;
  if (c.residual) options.residual = embed(addIn(), tokens, outWidth, ld, offset);
  const y = c.accumulate
    ? embed(addIn(), tokens, outWidth, ld, offset)
    : { view: output(offset + tokens * ld), ld, offset };

  const xRows = embed(x, tokens, inWidth, Math.ceil(inWidth / 4) * 4 + 4, 12);
  // A row of logits' gradients holds zeros up to the next multiple of 4.
  if (inWidth % 4) {
    const fill = embed(
      padColumns(x, tokens, inWidth, Math.ceil(inWidth / 4) * 4),
      tokens,
      Math.ceil(inWidth / 4) * 4,
      xRows.ld,
      12,
    );
    xRows.view = fill.view;
  }
  const ops = new MatmulOps(cmd, profile, c.split ? output(PARTIAL_VALUES) : undefined);
  await run(() => ops[c.direction](weight, tokens, xRows, y, options, c.range));

  const all = await read(y.view);
  const actual = new Float32Array(tokens * outWidth);
  const around: number[] = [...all.subarray(0, offset)];
  for (let t = 0; t < tokens; t++) {
    const at = offset + t * ld;
    actual.set(all.subarray(at, at + outWidth), t * outWidth);
    around.push(...all.subarray(at + Math.ceil(outWidth / 4) * 4, at + ld));
  }
  // Each of n terms meets at most n roundings: its product and the additions after it; then alpha and the additions of
  // the LoRA part, the residual and the old value.
  const roundings = inWidth + rank + 4 + readRoundings(c.format);
  return { actual, expected, bound: size.map((s) => roundings * EPS * s), around, values: used, x, dims, apply, alpha };
}

async function check(profile: KernelProfile, c: Case, rng: Rng) {
  const r = await product(profile, c, rng);
  expectWithin(r.actual, r.expected, r.bound, JSON.stringify(c));
  expect(r.around.every(Number.isNaN), 'writes outside its rows').toBe(true);
}

/**
 * Each combination of format, LORA and RESIDUAL is a kernel of its own, and unrolled tiles take seconds to compile on
 * SwiftShader: the tiled family gets those that differ in how tiles are staged, the direct one all.
 */
const CASES: Case[] = [
  { direction: 'forward', tokens: 37, rows: 64, columns: 172, format: 'NF4', rank: 3, residual: true },
  { direction: 'forward', tokens: 1, rows: 172, columns: 64, format: 'NF4', rank: 8, residual: true },
  { direction: 'forward', tokens: 3, rows: 20, columns: 172, format: 'NF4', nested: false, rank: 3, residual: true },
  { direction: 'forward', tokens: 33, rows: 19, columns: 64, format: 'F32', alpha: 0.25 },
  { direction: 'forward', tokens: 7, rows: 12, columns: 16, format: 'F32', accumulate: true },
  { direction: 'backward', tokens: 37, rows: 64, columns: 172, format: 'NF4', rank: 3 },
  { direction: 'backward', tokens: 1, rows: 172, columns: 64, format: 'NF4', rank: 8, accumulate: true },
  { direction: 'backward', tokens: 33, rows: 19, columns: 64, format: 'F32', alpha: 0.25 },
  // The matrix lies in several buffers, and only some of its rows are used.
  {
    direction: 'forward',
    tokens: 6,
    rows: 40,
    columns: 172,
    format: 'NF4',
    bindingLimit: 86 * 12,
    rank: 4,
    residual: true,
  },
  { direction: 'forward', tokens: 6, rows: 38, columns: 64, format: 'F32', bindingLimit: 256 * 8, range: [12, 33] },
  { direction: 'backward', tokens: 6, rows: 40, columns: 172, format: 'NF4', bindingLimit: 86 * 12, rank: 4 },
  {
    direction: 'backward',
    tokens: 6,
    rows: 38,
    columns: 64,
    format: 'F32',
    bindingLimit: 256 * 8,
    range: [12, 33],
    accumulate: true,
  },
];
const OTHER_FORMATS: Case[] = [
  { direction: 'forward', tokens: 5, rows: 64, columns: 172, format: 'BF16', rank: 1 },
  { direction: 'forward', tokens: 6, rows: 38, columns: 172, format: 'BF16', bindingLimit: 172 * 2 * 9, rank: 1 },
  { direction: 'backward', tokens: 18, rows: 20, columns: 172, format: 'F16' },
];
const DIRECT_ONLY: Case[] = [
  { direction: 'forward', tokens: 18, rows: 20, columns: 172, format: 'F16' },
  { direction: 'backward', tokens: 5, rows: 64, columns: 64, format: 'BF16', rank: 1, accumulate: true },
  { direction: 'backward', tokens: 6, rows: 38, columns: 172, format: 'BF16', bindingLimit: 172 * 2 * 9, rank: 1 },
  { direction: 'backward', tokens: 7, rows: 12, columns: 16, format: 'F32', residual: true },
];
const casesOf = (name: string): Case[] =>
  name === 'direct'
    ? [...CASES, ...OTHER_FORMATS, ...DIRECT_ONLY]
    : name === 'tiles of 16'
      ? [...CASES, ...OTHER_FORMATS]
      : CASES;

const titled = (cases: Case[]) =>
  cases.map(
    ({ direction, ...rest }) =>
      [
        `${direction} ${JSON.stringify(rest).replace(/[{}"]/g, '').replaceAll(',', ', ')}`,
        { direction, ...rest },
      ] as const,
  );

describe.each(profileCases)('products, %s', (name, profile) => {
  const rng = createRng(name.length);

  test.each(titled(casesOf(name)))('%s', (_, c) => check(profile, c, rng));

  test.each(['forward', 'backward'] as const)(
    '%s: one weight off by 5 % of a typical one fails the same check',
    async (direction) => {
      for (const format of ['NF4', 'F32'] as const) {
        const c: Case = {
          direction,
          tokens: 33,
          rows: format === 'F32' ? 19 : 64,
          columns: format === 'F32' ? 64 : 172,
          format,
        };
        if (format === 'NF4') Object.assign(c, direction === 'forward' ? { rank: 3, residual: true } : { rank: 3 });
        const r = await product(profile, c, rng);
        const wrong = r.values.slice();
        wrong[rng.int(wrong.length)] += 0.01;
        const before = r.apply(r.x, r.values, r.dims);
        const after = r.apply(r.x, wrong, r.dims);
        const expected = r.expected.map((v, i) => v + after[i] - before[i]);
        expect(() => expectWithin(r.actual, expected, r.bound)).toThrow(/times the bound/);
        expectWithin(r.actual, r.expected, r.bound);
      }
    },
  );

  test.each([
    [1, 8, 64],
    [37, 172, 8],
    [50, 20, 12],
  ])('gradient summed over %i tokens: %i x %i', async (tokens, rows, columns) => {
    for (const accumulate of [false, true]) {
      const p = rng.normals(tokens * rows);
      const q = rng.normals(tokens * columns);
      const g = rng.normals(rows * columns);
      const dims = { tokens, inFeatures: columns, outFeatures: rows };
      const expected = linearBackwardWeight(p, q, dims).map((v, i) => 0.5 * v + (accumulate ? g[i] : 0));
      const size = linearBackwardWeight(abs(p), abs(q), dims).map(
        (v, i) => 0.5 * v + (accumulate ? Math.abs(g[i]) : 0),
      );
      const to: Rows = accumulate
        ? embed(g, rows, columns, columns + 4, 4)
        : { view: output(4 + rows * (columns + 4)), ld: columns + 4, offset: 4 };
      await run(() =>
        new MatmulOps(cmd, profile).gradient(
          tokens,
          { ...embed(p, tokens, rows, rows + 8, 4), columns: rows },
          { ...embed(q, tokens, columns, columns + 4, 8), columns },
          to,
          { alpha: 0.5, accumulate },
        ),
      );
      const all = await read(to.view);
      const actual = Float32Array.from(
        { length: rows * columns },
        (_, i) => all[4 + Math.floor(i / columns) * (columns + 4) + (i % columns)],
      );
      const bound = size.map((s) => (tokens + 2) * EPS * s);
      expectWithin(actual, expected, bound);
      const wrong = p.slice();
      wrong[rng.int(wrong.length)] += 0.01;
      const off = linearBackwardWeight(wrong, q, dims).map((v, i) => 0.5 * v + (accumulate ? g[i] : 0));
      expect(() => expectWithin(actual, off, bound)).toThrow(/times the bound/);
    }
  });

  test('no tokens and no rows are no work', async () => {
    const before = cmd.dispatches;
    const { weight } = randomWeight(rng, 8, 8);
    const rows = { view: output(64), ld: 8 };
    new MatmulOps(cmd, profile).forward(weight, 0, rows, { view: output(64), ld: 8 });
    expect(cmd.dispatches).toBe(before);
  });
});

const sized = (m: number, n: number, k: number): ProductSize => ({ m, n, k, format: 'NF4', direction: 'forward' });

describe.each(Object.entries(gpuProfiles))('products with the tiles of a %s', (name, profile) => {
  test('NF4 with LoRA', async () => {
    const large = name.includes('large');
    const { tile } = chooseTile(profile, sized(64, 172, 140), false);
    expect([tile.bm, tile.bn]).toEqual(large ? [128, 128] : name.includes('medium') ? [64, 64] : [32, 32]);
    const c: Case = { direction: 'backward', tokens: 140, rows: 64, columns: 172, format: 'NF4', rank: 3 };
    await check(profile, large ? { ...c, direction: 'forward', columns: 64, rows: 140 } : c, createRng(3));
  });
});

describe('rows of whole NF4 blocks, inner dimension in parts', () => {
  const mid = { bm: 64, bn: 64, bk: 8, tm: 8, tn: 8, stages: 2 as const };
  const profile = { ...gpuProfiles['GPU, small tile'], large: mid, medium: mid, small: mid };
  const cases: Case[] = [
    { direction: 'forward', tokens: 70, rows: 76, columns: 448, format: 'NF4', rank: 3, residual: true },
    { direction: 'forward', tokens: 70, rows: 76, columns: 448, format: 'NF4', rank: 3, residual: true, split: true },
    { direction: 'backward', tokens: 70, rows: 264, columns: 192, format: 'NF4', rank: 3, accumulate: true },
    {
      direction: 'backward',
      tokens: 70,
      rows: 264,
      columns: 192,
      format: 'NF4',
      rank: 3,
      accumulate: true,
      split: true,
    },
    { direction: 'forward', tokens: 70, rows: 16, columns: 448, format: 'F32', alpha: 0.5, split: true },
    {
      direction: 'backward',
      tokens: 9,
      rows: 900,
      columns: 132,
      format: 'F32',
      alpha: 0.5,
      accumulate: true,
      split: true,
    },
  ];
  test.each(titled(cases))('%s', async (_, c) => {
    const [n, k] = c.direction === 'forward' ? [c.rows, c.columns] : [c.columns, c.rows];
    const size: ProductSize = { m: c.tokens, n, k, format: c.format, direction: c.direction };
    if (c.split) expect(chooseTile(profile, size, true).splits).toBeGreaterThan(1);
    await check(profile, c, createRng(11));
  });
});

describe('the choice of a tile', () => {
  const limits = { maxComputeInvocationsPerWorkgroup: 1024, maxComputeWorkgroupStorageSize: 49152 };
  const profile = profileFor({ limits } as GPUDevice, false);
  const choose = (m: number, n: number, k: number) => chooseTile(profile, sized(m, n, k), true);

  test('large tiles where they fill a GPU, split or not; narrow ones for narrow results', () => {
    expect(choose(2048, 2048, 2048)).toEqual({ tile: profile.tuned!['forward NF4'], splits: 1 });
    expect(choose(256, 2048, 8192)).toEqual({ tile: profile.tuned!['forward NF4'], splits: 4 });
    expect(choose(190, 8192, 2048).tile).toBe(profile.medium);
    expect(choose(2048, 16, 2048).tile).toBe(profile.tall);
    expect(choose(48, 2048, 2048).tile).toBe(profile.wide);
    expect(choose(32, 128256, 2048).tile).toBe(profile.wide);
    expect(chooseTile(profile, sized(8, 40, 64), true).tile).toBe(profile.small);
  });

  test('no choice on offer is estimated faster than the one taken', () => {
    for (const m of [17, 130, 256, 700, 1900]) {
      for (const [n, k] of [
        [512, 2048],
        [2048, 8192],
        [8192, 2048],
      ]) {
        const size = sized(m, n, k);
        const { tile, splits } = chooseTile(profile, size, true);
        const time = productTime(tile, size, splits);
        const others = m > 48 ? [profile.tuned!['forward NF4']!, profile.medium!, profile.small] : [profile.wide!];
        for (const other of others) {
          for (const s of [1, 2, 4, 8, 16]) {
            if (s * m * n <= PARTIAL_VALUES && k / s >= 128) {
              expect(time).toBeLessThanOrEqual(productTime(other, size, s));
            }
          }
        }
      }
    }
  });

  test('the estimate is within a fifth of what an H100 took', () => {
    // Microseconds, NF4 forward: bench on an NVIDIA H100 with 128x128x32 tiles.
    const measured = [
      [256, 8192, 2048, 1, 274],
      [1024, 2048, 2048, 1, 288],
      [2048, 2048, 2048, 1, 556],
      [2048, 8192, 2048, 1, 1872],
      [256, 2048, 8192, 4, 309],
      [512, 2048, 8192, 2, 551],
      [128, 2048, 8192, 8, 166],
    ];
    for (const [m, n, k, splits, us] of measured) {
      const time = productTime(profile.tuned!['forward NF4']!, sized(m, n, k), splits);
      expect(Math.abs(time / us - 1), `${m} ${n} ${k}`).toBeLessThan(0.2);
    }
  });

  test('parts cover K without an empty one and stay in their room', () => {
    for (let m = 1; m < 3000; m = Math.ceil(m * 1.7)) {
      for (const k of [64, 300, 2048, 8192, 11008]) {
        const { tile, splits } = choose(m, 4096, k);
        const { parts, tiles } = splitParts(tile.bk, k, splits);
        expect(parts * tiles * tile.bk).toBeGreaterThanOrEqual(k);
        expect((parts - 1) * tiles * tile.bk).toBeLessThan(k);
        if (parts > 1) expect(parts * m * 4096).toBeLessThanOrEqual(PARTIAL_VALUES);
      }
    }
  });
});
