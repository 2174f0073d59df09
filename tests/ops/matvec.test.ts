/** Products of few rows, weights in every format, with everything that rides in the epilogue. */
import { describe, expect, test } from 'vitest';
import type { KernelProfile } from '../../src/gpu/profile';
import { MatmulOps, type ProductOptions } from '../../src/ops/matmul';
import { fewRows, matvec } from '../../src/ops/matvec';
import type { WeightFormat } from '../../src/ops/weight';
import { linear } from '../reference/linear';
import { createRng, type Rng } from '../reference/rng';
import {
  abs,
  cmd,
  EPS,
  expectWithin,
  input,
  output,
  profileCases,
  randomWeight,
  read,
  readRoundings,
  run,
} from './support';

interface Case {
  tokens: number;
  rows: number;
  columns: number;
  format: WeightFormat;
  rank?: number;
  extras?: boolean;
  bindingLimit?: number;
  range?: [number, number];
}

async function check(profile: KernelProfile, c: Case, rng: Rng): Promise<void> {
  const { tokens, columns, rank = 0, extras = false } = c;
  const { weight, values } = randomWeight(rng, c.rows, columns, c);
  const [first, last] = c.range ?? [0, c.rows];
  const rows = last - first;
  const width = Math.ceil(rows / 4) * 4;
  const alpha = extras ? 0.5 : 1;
  const x = rng.normals(tokens * columns);
  const [u, v] = [rng.normals(tokens * rank), rng.normals(c.rows * rank)];
  const [residual, before, factors] = [tokens * width, tokens * width, Math.ceil(c.rows / 4) * 4].map((n) =>
    rng.normals(n),
  );
  const options: ProductOptions = { alpha };
  if (rank)
    options.lora = { u: { view: input(u), ld: rank }, v: { view: input(v), ld: rank, offset: first * rank }, rank };
  if (extras) {
    options.residual = { view: input(residual), ld: width };
    options.accumulate = true;
    options.columnScale = { view: input(factors), offset: first };
  }
  const y = extras ? input(before) : output(tokens * width);
  const ops = new MatmulOps(cmd, profile, undefined, (...product) => {
    expect(matvec(...product)).toBe(true);
    return true;
  });
  await run(() =>
    ops.forward(weight, tokens, { view: input(x), ld: columns }, { view: y, ld: width }, options, [first, last]),
  );

  const used = values.subarray(first * columns, last * columns);
  const usedV = v.subarray(first * rank, last * rank);
  const sum = (of: (a: Float64Array) => Float64Array, weights: Float64Array) => {
    const main = linear(of(x), of(weights), { tokens, inFeatures: columns, outFeatures: rows });
    const low = linear(of(u), of(usedV), { tokens, inFeatures: rank, outFeatures: rows });
    const out = new Float64Array(tokens * rows);
    for (let t = 0; t < tokens; t++) {
      for (let n = 0; n < rows; n++) {
        let value = alpha * main[t * rows + n] + low[t * rows + n];
        if (extras) {
          value *= of(factors.subarray(first + n, first + n + 1))[0];
          value += of(residual.subarray(t * width + n))[0] + of(before.subarray(t * width + n))[0];
        }
        out[t * rows + n] = value;
      }
    }
    return out;
  };
  const all = await read(y);
  const actual = Float64Array.from({ length: tokens * rows }, (_, i) => all[Math.floor(i / rows) * width + (i % rows)]);
  const bound = sum(abs, used).map((size) => size * EPS * (columns + rank + 6 + readRoundings(c.format)));
  expectWithin(
    actual,
    sum((a) => a, used),
    bound,
  );
  // The negative control: one weight off by a tenth.
  const wrong = used.slice();
  wrong[rng.int(wrong.length)] += 0.1;
  expect(() =>
    expectWithin(
      actual,
      sum((a) => a, wrong),
      bound,
    ),
  ).toThrow(/times the bound/);
}

// The kernel does not depend on tiles: one profile of each kind.
describe.each(profileCases.slice(0, 2))('few rows, %s', (name, profile) => {
  const rng = createRng(name.length + 7);
  const most = fewRows(profile);

  test.each(['F32', 'BF16', 'F16', 'NF4'] as const)('%s: one row and as many as it takes', async (format) => {
    await check(profile, { tokens: 1, rows: 37, columns: 128, format }, rng);
    await check(profile, { tokens: most - 1, rows: 24, columns: 192, format, rank: 8, extras: true }, rng);
  });

  test('rows that are no multiple of a lane or a block, NF4 blocks across rows', async () => {
    await check(profile, { tokens: 2, rows: 13, columns: 20, format: 'F32', rank: 4 }, rng);
    await check(profile, { tokens: 3, rows: 16, columns: 100, format: 'NF4' }, rng);
    await check(profile, { tokens: 1, rows: 16, columns: 40, format: 'NF4' }, rng);
  });

  test('a weight in several parts, and some of its rows', async () => {
    const parts = { rows: 32, columns: 64, bindingLimit: 12 * 64 * 4 };
    await check(profile, { ...parts, tokens: 2, format: 'F32', rank: 4, extras: true, range: [4, 28] }, rng);
    await check(profile, { ...parts, tokens: 1, format: 'NF4', bindingLimit: 12 * 32 }, rng);
  });

  test('more rows are left to the tiles', () => {
    const product = { m: most + 1 } as Parameters<typeof matvec>[2];
    expect(matvec(cmd, profile, product)).toBe(false);
  });
});
