/** Matrix products in both directions, weights in every format, with everything that rides in the epilogue. */
import { describe, expect, test } from 'vitest';
import { MatmulOps } from '../../src/ops/matmul';
import { createRng } from '../reference/rng';
import { type Case, checkProduct, productBound, titled } from './products';
import { cmd, expectWithin, output, profileCases, randomWeight } from './support';

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
  // Few columns: kernels of their own.
  { direction: 'forward', tokens: 19, rows: 20, columns: 516, format: 'F32', accumulate: true },
  { direction: 'forward', tokens: 8, rows: 16, columns: 1028, format: 'F32', alpha: 0.25 },
  { direction: 'backward', tokens: 19, rows: 516, columns: 20, format: 'F32', alpha: 0.25, accumulate: true },
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

describe.each(profileCases)('products, %s', (name, profile) => {
  const rng = createRng(name.length);

  test.each(titled(casesOf(name)))('%s', async (_, c) => {
    await checkProduct(profile, c, rng);
  });

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
        const r = await checkProduct(profile, c, rng);
        const wrong = r.values.slice();
        wrong[rng.int(wrong.length)] += 0.01;
        expect(() => expectWithin(r.actual, r.withWeight(wrong), productBound(c, r))).toThrow(/times the bound/);
      }
    },
  );

  test('no tokens and no rows are no work', async () => {
    const before = cmd.dispatches;
    const { weight } = randomWeight(rng, 8, 8);
    const rows = { view: output(64), ld: 8 };
    new MatmulOps(cmd, profile).forward(weight, 0, rows, { view: output(64), ld: 8 });
    expect(cmd.dispatches).toBe(before);
  });
});
