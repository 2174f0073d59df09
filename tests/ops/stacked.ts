/** Products with several weights of the same input, made in one, against float64. */
import { expect } from 'vitest';
import type { Commands } from '../../src/gpu/commands';
import type { MatmulOps } from '../../src/ops/matmul';
import { linear } from '../reference/linear';
import { createRng } from '../reference/rng';
import { expectWithin, input, output, randomWeight, read, run } from './support';

const ROWS = [128, 128, 32];
const COLUMNS = 64;
const RANK = 4;

/** Three weights with a low-rank part each; a result may differ by `tolerance` of the root of its terms' squares. */
export async function checkForwardStacked(ops: MatmulOps, m: number, tolerance: number, on: Commands): Promise<void> {
  const rng = createRng(11);
  const all = ROWS.reduce((sum, rows) => sum + rows, 0);
  const width = ROWS.length * RANK;
  const x = rng.normals(m * COLUMNS);
  const u = rng.normals(m * width);
  const expected = new Float64Array(m * all);
  const squares = new Float64Array(m * all);
  const b = new Float64Array(all * RANK);
  let first = 0;
  const weights = ROWS.map((rows, i) => {
    const { weight, values } = randomWeight(rng, rows, COLUMNS, { format: 'BF16' });
    const own = rng.normals(rows * RANK, 0.5);
    b.set(own, first * RANK);
    const low = Float64Array.from(
      { length: m * RANK },
      (_, j) => u[Math.floor(j / RANK) * width + i * RANK + (j % RANK)],
    );
    const square = (array: Float64Array) => array.map((v) => v * v);
    const put = (to: Float64Array, of: (array: Float64Array) => Float64Array) => {
      const dims = { tokens: m, outFeatures: rows };
      const product = linear(of(x), of(values), { ...dims, inFeatures: COLUMNS });
      const part = linear(of(low), of(own), { ...dims, inFeatures: RANK });
      for (let j = 0; j < m * rows; j++) to[Math.floor(j / rows) * all + first + (j % rows)] = product[j] + part[j];
    };
    put(expected, (array) => array);
    put(squares, square);
    first += rows;
    return weight;
  });
  const y = output(m * all);
  const lora = {
    u: { view: input(u), ld: width },
    v: { view: input(b), ld: RANK },
    rank: RANK,
  };
  const starts = [ROWS[0], ROWS[0] + ROWS[1]];
  const before = on.dispatches;
  await run(() => {
    const done = ops.forwardStacked(
      weights,
      m,
      { view: input(x), ld: COLUMNS },
      { view: y, ld: all },
      { lora, starts },
    );
    expect(done).toBe(true);
  }, on);
  // Rows, three weights, one product.
  expect(on.dispatches - before).toBe(5);
  const bound = squares.map((v) => tolerance * Math.sqrt(v));
  expectWithin(await read(y), expected, bound);
}
