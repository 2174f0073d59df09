/** Products on matrix units for f32 made of plain WGSL: as exact as any f32 product. */
import { describe, expect, test, vi } from 'vitest';
import type { KernelProfile } from '../../src/gpu/profile';
import type { MatrixUnits } from '../../src/gpu/tiers';
import { MatmulOps } from '../../src/ops/matmul';
import { PARTIAL_VALUES } from '../../src/ops/tile-choice';
import { createRng } from '../reference/rng';
import { EmulatedCommands } from '../support/emulated-matrix';
import { type Case, makeProduct, productBound, runProduct, titled } from './products';
import { device, expectWithin, gpuProfiles, output } from './support';

/** Small enough for a software adapter to compile and run; the kernel is the same. */
vi.mock('../../src/ops/matmul_matrix_f32', async (original) => {
  const tile = { sm: 2, sn: 2, wm: 2, wn: 2, bk: 16 };
  return { ...(await original<typeof import('../../src/ops/matmul_matrix_f32')>()), pickFloatMatrixTile: () => tile };
});

/** What was compiled. */
const names = new Set<string>();
class Named extends EmulatedCommands {
  override dispatch(...args: Parameters<EmulatedCommands['dispatch']>): void {
    names.add(args[0].name);
    super.dispatch(...args);
  }
}
const cmd = new Named(device);

// Together they have every flag in both directions, and every format.
const CASES: [MatrixUnits['spelling'], Case][] = [
  ['template', { direction: 'forward', tokens: 37, rows: 72, columns: 64, format: 'NF4', rank: 3, residual: true }],
  ['template', { direction: 'backward', tokens: 37, rows: 64, columns: 72, format: 'NF4', rank: 20, accumulate: true }],
  ['argument', { direction: 'forward', tokens: 37, rows: 88, columns: 64, format: 'BF16', rank: 4, columnScale: true }],
  ['argument', { direction: 'backward', tokens: 37, rows: 256, columns: 64, format: 'F32', alpha: 0.25, split: true }],
];
const titles = CASES.map(([spelling, c]) => [`${spelling}, ${titled([c])[0][0]}`, spelling, c] as const);

describe('products on emulated matrix units for f32', () => {
  const rng = createRng(9);
  test.each(titles)('%s', async (_, spelling, c) => {
    const floatMatrix: MatrixUnits = { spelling, subgroup: 8, operands: 'f32' };
    const profile: KernelProfile = { ...gpuProfiles['GPU, small tile'], tier: 'subgroup-matrix', floatMatrix };
    const p = makeProduct(c, rng);
    names.clear();
    const ops = new MatmulOps(cmd, profile, { partials: c.split ? output(PARTIAL_VALUES) : undefined });
    const { actual, tidy } = await runProduct(ops, c, p, cmd);
    expect([...names][0]).toMatch(/^matmul matrix f32/);
    const bound = productBound(c, p);
    expectWithin(actual, p.expected, bound);
    expect(tidy, 'writes outside its rows').toBe(true);
    const wrong = p.values.slice();
    wrong[rng.int(wrong.length)] += 0.01;
    expect(() => expectWithin(actual, p.withWeight(wrong), bound)).toThrow(/times the bound/);
  });
});
