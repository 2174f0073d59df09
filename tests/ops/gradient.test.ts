/** Gradients of small matrices: the product of two sets of rows, summed over tokens. */
import { describe, expect, test } from 'vitest';
import { MatmulOps } from '../../src/ops/matmul';
import type { Rows } from '../../src/ops/product';
import { linearBackwardWeight } from '../reference/linear';
import { createRng } from '../reference/rng';
import { embed } from './products';
import { abs, cmd, EPS, expectWithin, output, profileCases, read, run } from './support';

describe.each(profileCases)('gradients of weights, %s', (name, profile) => {
  const rng = createRng(name.length);

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
});
