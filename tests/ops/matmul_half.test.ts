/** Products of f16 operands, in both directions, with everything that rides in the epilogue. */
import { describe, expect, test } from 'vitest';
import type { KernelProfile, MatmulTile } from '../../src/gpu/profile';
import { HalfOperands } from '../../src/ops/half';
import { MatmulOps } from '../../src/ops/matmul';
import { PARTIAL_VALUES } from '../../src/ops/tile-choice';
import { createRng, type Rng } from '../reference/rng';
import { type Case, makeProduct, runProduct, titled } from './products';
import { checkForwardStacked } from './stacked';
import { cmd, device, expectWithin, gpuProfiles, input, output, randomWeight, read, run } from './support';

const tile = { bm: 32, bn: 64, bk: 32, tm: 4, tn: 8, unroll: 8 };
const profileWith = (own: MatmulTile): KernelProfile => ({
  ...gpuProfiles['GPU, small tile'],
  tier: 'f16',
  half: [own],
});
const profile = profileWith(tile);
const scratch = () => ({
  x: output(2 ** 17).buffer,
  factors: output(512).buffer,
  w: output(2 ** 17).buffer,
});

/**
 * Rounding both operands and summing 32 terms in f16 gives an error whose standard deviation is some
 * (0.5 + 0.28 sqrt(32)) 2^-11 of the root of the terms' squares; six of them are allowed.
 */
const TOLERANCE = 13 * 2 ** -11;

async function product(c: Case, rng: Rng, own = profile) {
  const p = makeProduct(c, rng);
  const half = new HalfOperands(cmd, own, scratch());
  const ops = new MatmulOps(cmd, own, { partials: c.split ? output(PARTIAL_VALUES) : undefined, half });
  const before = cmd.dispatches;
  const made = await runProduct(ops, c, p);
  const bound = p.squares.map((v, i) => TOLERANCE * Math.sqrt(v) + 2 ** -21 * p.added[i]);
  return { ...p, ...made, bound, dispatches: cmd.dispatches - before };
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
  test.each(titled(CASES))('%s', async (_, c) => {
    const r = await product(c, rng);
    // Rows, weight, product, sum of its parts: had it been made in f32, there were one or two.
    expect(r.dispatches).toBeGreaterThanOrEqual(c.split ? 4 : 3);
    expectWithin(r.actual, r.expected, r.bound);
    expect(r.tidy, 'writes outside its rows').toBe(true);
  });

  test.each(['forward', 'backward'] as const)(
    '%s: half as many k in a tile, more threads than blocks',
    async (direction) => {
      const tall = profileWith({ bm: 64, bn: 32, bk: 16, tm: 8, tn: 4 });
      const r = await product({ direction, tokens: 40, rows: 96, columns: 96, format: 'NF4', rank: 8 }, rng, tall);
      expectWithin(r.actual, r.expected, r.bound);
    },
  );

  test.each(['forward', 'backward'] as const)(
    '%s: a weight off by a tenth of a typical one fails',
    async (direction) => {
      const r = await product({ direction, tokens: 40, rows: 64, columns: 64, format: 'F32' }, rng);
      expectWithin(r.actual, r.expected, r.bound);
      const wrong = r.values.slice();
      wrong[rng.int(wrong.length)] += 0.02;
      expect(() => expectWithin(r.actual, r.withWeight(wrong), r.bound)).toThrow(/times the bound/);
    },
  );
});

describe.skipIf(why)(`several weights in one product${why}`, () => {
  test('gradients are what their products add up to; weights that cannot lie together are left alone', async () => {
    const rng = createRng(9);
    const [m, columns] = [70, 96];
    const weights = [128, 32].map((rows) => randomWeight(rng, rows, columns, { format: 'BF16' }).weight);
    const dy = { view: input(rng.normals(m * 160)), ld: 160 };
    const u = { view: input(rng.normals(m * 8)), ld: 8 };
    const lora = { u, v: { view: input(rng.normals(8 * columns, 0.5)), ld: columns }, rank: 8 };
    const [together, apart] = [output(m * columns), output(m * columns)];
    const ops = new MatmulOps(cmd, profile, { half: new HalfOperands(cmd, profile, scratch()) });
    const plain = new MatmulOps(cmd, { ...profile, tier: 'f32', half: undefined });
    await run(() => {
      expect(ops.backwardStacked(weights, m, dy, { view: together, ld: columns }, { lora })).toBe(true);
      plain.backward(weights[0], m, dy, { view: apart, ld: columns }, { lora });
      plain.backward(weights[1], m, { ...dy, offset: 128 }, { view: apart, ld: columns }, { accumulate: true });
    });
    const expected = await read(apart);
    const largest = Math.max(...expected.map(Math.abs));
    expectWithin(
      await read(together),
      expected,
      expected.map(() => 2e-3 * largest),
    );

    const before = cmd.dispatches;
    const odd = randomWeight(rng, 32, 64, { format: 'BF16' }).weight;
    expect(ops.backwardStacked([weights[0], odd], m, dy, { view: together, ld: columns })).toBe(false);
    expect(plain.backwardStacked(weights, m, dy, { view: together, ld: columns })).toBe(false);
    expect(ops.backwardStacked([weights[1], weights[0]], m, dy, { view: together, ld: columns })).toBe(false);
    expect(cmd.dispatches).toBe(before);
  });

  test('products are those of each weight and its low-rank part', async () => {
    const half = new HalfOperands(cmd, profile, scratch());
    const ops = new MatmulOps(cmd, profile, { half });
    await checkForwardStacked(ops, 70, TOLERANCE, cmd);
  });
});
