/** Products of few rows, weights in every format, with everything that rides in the epilogue. */
import { describe, expect, test } from 'vitest';
import type { KernelProfile } from '../../src/gpu/profile';
import { MatmulOps } from '../../src/ops/matmul';
import { fewRows, matvec } from '../../src/ops/matvec';
import { createRng, type Rng } from '../reference/rng';
import { type Case, checkProduct, productBound } from './products';
import { cmd, expectWithin, profileCases } from './support';

/** Everything that may ride in a product. */
const EXTRAS = { alpha: 0.5, residual: true, accumulate: true, columnScale: true };

async function check(profile: KernelProfile, sizes: Omit<Case, 'direction'>, rng: Rng): Promise<void> {
  const c: Case = { direction: 'forward', ...sizes };
  const special = (...product: Parameters<typeof matvec>) => {
    expect(matvec(...product)).toBe(true);
    return true;
  };
  const ops = new MatmulOps(cmd, profile, { special });
  const r = await checkProduct(profile, c, rng, ops);
  // The negative control: one weight off by a tenth.
  const wrong = r.values.slice();
  wrong[rng.int(wrong.length)] += 0.1;
  expect(() => expectWithin(r.actual, r.withWeight(wrong), productBound(c, r))).toThrow(/times the bound/);
}

// The kernel does not depend on tiles: one profile of each kind.
describe.each(profileCases.slice(0, 2))('few rows, %s', (name, profile) => {
  const rng = createRng(name.length + 7);
  const most = fewRows(profile);

  test.each(['F32', 'BF16', 'F16', 'NF4'] as const)('%s: one row and as many as it takes', async (format) => {
    await check(profile, { tokens: 1, rows: 37, columns: 128, format }, rng);
    await check(profile, { tokens: most - 1, rows: 24, columns: 192, format, rank: 8, ...EXTRAS }, rng);
  });

  test('rows that are no multiple of a lane or a block, NF4 blocks across rows', async () => {
    await check(profile, { tokens: 2, rows: 13, columns: 20, format: 'F32', rank: 4 }, rng);
    await check(profile, { tokens: 3, rows: 16, columns: 100, format: 'NF4' }, rng);
    await check(profile, { tokens: 1, rows: 16, columns: 40, format: 'NF4' }, rng);
  });

  test('a weight in several parts, and some of its rows', async () => {
    const parts = { rows: 32, columns: 64, bindingLimit: 12 * 64 * 4 };
    await check(profile, { ...parts, tokens: 2, format: 'F32', rank: 4, ...EXTRAS, range: [4, 28] }, rng);
    await check(profile, { ...parts, tokens: 1, format: 'NF4', bindingLimit: 12 * 32 }, rng);
  });

  test('more rows are left to the tiles', () => {
    const product = { m: most + 1 } as Parameters<typeof matvec>[2];
    expect(matvec(cmd, profile, product)).toBe(false);
  });
});
