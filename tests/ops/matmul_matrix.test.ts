/** Products on matrix units made of plain WGSL, in both directions, with everything that rides in the epilogue. */
import { describe, expect, test, vi } from 'vitest';
import type { KernelProfile } from '../../src/gpu/profile';
import type { MatrixUnits } from '../../src/gpu/tiers';
import { HalfOperands } from '../../src/ops/half';
import { MatmulOps } from '../../src/ops/matmul';
import { PARTIAL_VALUES } from '../../src/ops/tile-choice';
import { createRng, type Rng } from '../reference/rng';
import { EmulatedCommands } from '../support/emulated-matrix';
import { type Case, makeProduct, runProduct, titled } from './products';
import { checkForwardStacked } from './stacked';
import { device, expectWithin, gpuProfiles, output } from './support';

/** Small enough for a software adapter to compile and run; the kernel is the same. More than 64 rows take the larger. */
vi.mock('../../src/ops/matmul_matrix', async (original) => {
  const small = { sm: 1, sn: 2, wm: 2, wn: 1, bk: 32 };
  const large = { sm: 2, sn: 2, wm: 2, wn: 2, bk: 32 };
  const pickMatrixTile = (m: number) => (m > 64 ? large : small);
  return { ...(await original<typeof import('../../src/ops/matmul_matrix')>()), pickMatrixTile };
});

const cmd = new EmulatedCommands(device);
const scratch = { x: output(2 ** 17).buffer, factors: output(512).buffer, w: output(2 ** 17).buffer };

/** Rounding both operands to f16 gives an error of some 2^-11.5 of each term; six standard deviations of their sum. */
const TOLERANCE = 6 * 2 ** -11.5;

async function product(c: Case, rng: Rng, spelling: MatrixUnits['spelling']) {
  const p = makeProduct(c, rng);
  const matrix: MatrixUnits = { spelling, subgroup: 16 };
  const profile: KernelProfile = { ...gpuProfiles['GPU, small tile'], tier: 'subgroup-matrix', matrix };
  const half = new HalfOperands(cmd, profile, scratch);
  const ops = new MatmulOps(cmd, profile, { partials: c.split ? output(PARTIAL_VALUES) : undefined, half });
  const before = cmd.dispatches;
  const made = await runProduct(ops, c, p, cmd);
  const bound = p.squares.map((v, i) => TOLERANCE * Math.sqrt(v) + 2 ** -21 * p.added[i]);
  return { ...p, ...made, bound, dispatches: cmd.dispatches - before };
}

// Each is a kernel of its own, which takes seconds to compile: together they have every flag in both directions.
const CASES: [MatrixUnits['spelling'], Case][] = [
  // A whole tile and some on edges.
  ['template', { direction: 'forward', tokens: 70, rows: 72, columns: 64, format: 'NF4', rank: 16, residual: true }],
  ['template', { direction: 'backward', tokens: 37, rows: 64, columns: 96, format: 'F32', rank: 4, accumulate: true }],
  [
    'template',
    { direction: 'forward', tokens: 40, rows: 64, columns: 64, format: 'BF16', columnScale: true, spread: 12 },
  ],
  // Rows of X and of the weight beyond their first 128.
  ['template', { direction: 'forward', tokens: 150, rows: 136, columns: 96, format: 'NF4', residual: true }],
  ['template', { direction: 'backward', tokens: 140, rows: 160, columns: 224, format: 'BF16' }],
  ['argument', { direction: 'forward', tokens: 37, rows: 72, columns: 64, format: 'F32', rank: 4, residual: true }],
  ['argument', { direction: 'backward', tokens: 70, rows: 256, columns: 64, format: 'F32', alpha: 0.25, split: true }],
];
const titles = CASES.map(([spelling, c]) => [`${spelling}, ${titled([c])[0][0]}`, spelling, c] as const);

describe('products on emulated matrix units', () => {
  const rng = createRng(5);
  test.each(titles)('%s', async (_, spelling, c) => {
    const r = await product(c, rng, spelling);
    // Rows, weight, product: had it been made in f32, there were one.
    expect(r.dispatches).toBeGreaterThanOrEqual(3);
    expectWithin(r.actual, r.expected, r.bound);
    expect(r.tidy, 'writes outside its rows').toBe(true);
    const wrong = r.values.slice();
    wrong[rng.int(wrong.length)] += 0.03;
    expect(() => expectWithin(r.actual, r.withWeight(wrong), r.bound)).toThrow(/times the bound/);
  });

  test('several weights and their low-rank parts in one product', async () => {
    const matrix: MatrixUnits = { spelling: 'template', subgroup: 16 };
    const profile: KernelProfile = { ...gpuProfiles['GPU, small tile'], tier: 'subgroup-matrix', matrix };
    const half = new HalfOperands(cmd, profile, scratch);
    await checkForwardStacked(new MatmulOps(cmd, profile, { half }), 40, TOLERANCE, cmd);
  });
});
