/** LoRA's dU and dB of several projections at once: the same as one by one. */
import { describe, expect, test } from 'vitest';
import { MatmulOps } from '../../src/ops/matmul';
import { takesStarts } from '../../src/ops/matmul_narrow';
import { PARTIAL_VALUES } from '../../src/ops/tile-choice';
import { matrix } from '../../src/ops/weight';
import { createRng } from '../reference/rng';
import { cmd, expectWithin, gpuProfiles, input, output, profiles, read, run } from './support';

const profile = gpuProfiles['GPU, small tile'];
const ROWS = [192, 64, 128];
const STARTS = [192, 256];
const ALL = 384;
const RANK = 8;

describe('gradients of several low-rank parts', () => {
  test.each([37, 300])('%i tokens', async (tokens) => {
    const rng = createRng(tokens);
    const width = ROWS.length * RANK;
    const dy = input(rng.normals(tokens * ALL));
    const u = input(rng.normals(tokens * width));
    const b = input(rng.normals(ALL * RANK));
    const make = async (together: boolean) => {
      const ops = new MatmulOps(cmd, profile, { partials: output(PARTIAL_VALUES) });
      const [du, g] = [output(tokens * width), input(new Float32Array(ALL * RANK).fill(1))];
      const before = cmd.dispatches;
      await run(() => {
        const some = together
          ? [[0, ALL, STARTS] as const]
          : ROWS.map((rows, i) => [[0, ...STARTS][i], rows, []] as const);
        some.forEach(([first, rows, starts], i) => {
          const weight = matrix('B', b, first * RANK, rows, RANK);
          const own = { view: dy, ld: ALL, offset: first };
          const column = { ld: width, offset: i * RANK };
          ops.backward(weight, tokens, own, { view: du, ...column }, { alpha: 0.5, starts });
          const q = { view: u, ...column, columns: RANK };
          const to = { view: g, ld: RANK, offset: first * RANK };
          ops.gradient(tokens, { ...own, columns: rows }, q, to, { accumulate: true, starts });
        });
      });
      return { du: await read(du), g: await read(g), dispatches: cmd.dispatches - before };
    };
    expect(takesStarts(profile, ALL, RANK, STARTS)).toBe(true);
    const [one, each] = [await make(true), await make(false)];
    expect(one.dispatches).toBeLessThan(each.dispatches);
    // Sums of as many terms, in another order: of 384 or fewer products, and of the tokens'.
    expectWithin(
      one.du,
      each.du,
      Array.from(each.du, () => ALL * 2 ** -22),
    );
    expectWithin(
      one.g,
      each.g,
      Array.from(each.g, () => tokens * 2 ** -22),
    );
  });

  test('not where a workgroup would meet two of them, nor without tiles', () => {
    expect(takesStarts(profile, ALL, RANK, [200])).toBe(false);
    expect(takesStarts(profile, 128, RANK, [64])).toBe(false);
    expect(takesStarts(profile, ALL, 64, STARTS)).toBe(false);
    expect(takesStarts(profiles.direct, ALL, RANK, STARTS)).toBe(false);
  });
});
