import { expect, it } from 'vitest';
import { dropout } from '../../src/ops/dropout';
import { createRng } from '../reference/rng';
import { cmd, input, output, read, run } from './support';

const tokens = 40;
const columns = 300;
const x = createRng(1).uniforms(tokens * columns, 1, 2);
const mask = { p: 0.2, seed: 11, stream: 3, firstToken: 100 };

async function apply(change: Partial<typeof mask> = {}, rows: [number, number] = [0, tokens]): Promise<Float32Array> {
  const y = output((rows[1] - rows[0]) * columns);
  const part = input(x.slice(rows[0] * columns, rows[1] * columns));
  await run(() =>
    dropout(
      cmd,
      rows[1] - rows[0],
      columns,
      { ...mask, ...change },
      { view: part, ld: columns },
      { view: y, ld: columns },
    ),
  );
  return read(y);
}

const kept = (y: Float32Array) => y.reduce((n, v) => n + (v === 0 ? 0 : 1), 0) / y.length;

it('drops a share p of the values and scales the others by 1 / (1 - p)', async () => {
  const y = await apply();
  // 12,000 draws: three standard deviations of the share are 0.011.
  expect(Math.abs(kept(y) - 0.8)).toBeLessThan(0.011);
  for (let i = 0; i < y.length; i++) if (y[i] !== 0) expect(Math.abs(y[i] / x[i] - 1.25)).toBeLessThan(1e-6);
  expect(await apply({ p: 0 })).toEqual(Float32Array.from(x));
});

it('gives the same mask for the same place, whatever is computed with it', async () => {
  const y = await apply();
  expect(await apply()).toEqual(y);
  expect(await apply({ firstToken: 117 }, [17, 31])).toEqual(y.subarray(17 * columns, 31 * columns));
});

it('gives independent masks for other seeds, streams and tokens', async () => {
  const y = await apply();
  for (const change of [{ seed: 12 }, { stream: 4 }, { firstToken: 5000 }]) {
    const other = await apply(change);
    const both = y.reduce((n, v, i) => n + (v !== 0 && other[i] !== 0 ? 1 : 0), 0) / y.length;
    expect(Math.abs(both - 0.64), JSON.stringify(change)).toBeLessThan(0.015);
  }
  const rows = [0, 1].map((t) => y.subarray(t * columns, (t + 1) * columns).map((v) => (v === 0 ? 0 : 1)));
  expect(rows[0]).not.toEqual(rows[1]);
});

it('adds the masked values in the backward', async () => {
  const before = createRng(2).normals(tokens * columns);
  const y = input(before);
  await run(() => dropout(cmd, tokens, columns, mask, { view: input(x), ld: columns }, { view: y, ld: columns }, true));
  const dropped = await apply();
  const after = await read(y);
  for (let i = 0; i < after.length; i++) expect(Math.abs(after[i] - before[i] - dropped[i])).toBeLessThan(1e-6);
});
