/** The pieces of the fused head against float64: log-sum-exp in chunks, target logits, mean logits, gradient of a tile. */
import { describe, expect, test } from 'vitest';
import { columnMean, entryLogits, type LogitsTile, logitsGradient, rowMeanLogit, rowStats } from '../../src/ops/logits';
import { logSumExp } from '../reference/head';
import { createRng, type Rng } from '../reference/rng';
import {
  cmd,
  EPS,
  expectWithin,
  FLUSHED,
  gpuProfiles,
  input,
  output,
  profiles,
  randomWeight,
  read,
  readRoundings,
  run,
} from './support';

const threadCases = Object.entries({
  '4 threads a row': profiles.direct,
  '128 threads a row': gpuProfiles['GPU, small tile'],
});

/** Logits [rows, vocab] as tiles of `columns`, each with rows of `ld` values; what lies beyond the vocabulary is NaN. */
function tilesOf(logits: Float64Array, rows: number, vocab: number, columns: number): LogitsTile[] {
  const tiles: LogitsTile[] = [];
  for (let firstColumn = 0; firstColumn < vocab; firstColumn += columns) {
    const width = Math.min(columns, vocab - firstColumn);
    const values = new Float64Array(rows * columns).fill(Number.NaN);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < width; c++) values[r * columns + c] = logits[r * vocab + firstColumn + c];
    }
    tiles.push({ view: input(values), ld: columns, rows, firstRow: 0, columns: width, firstColumn });
  }
  return tiles;
}

/** Logits with an extreme row: far from zero, and one value far above the rest. */
function randomLogits(rng: Rng, rows: number, vocab: number): Float64Array {
  const logits = rng.normals(rows * vocab, 5);
  for (let c = 0; c < vocab; c++) logits[c] = Math.fround(logits[c] - 300);
  logits[vocab - 1] = 200;
  return logits;
}

describe.each(threadCases)('%s', (name, profile) => {
  const rng = createRng(name.length);

  test.each([
    [1, 19, 20],
    [7, 19, 8],
    [5, 512, 128],
    [3, 130, 132],
  ])('log-sum-exp and gradient of %i rows over %i tokens in chunks of %i', async (rows, vocab, chunk) => {
    const logits = randomLogits(rng, rows, vocab);
    const tiles = tilesOf(logits, rows, vocab, chunk);
    const stats = output(rows * 2);
    await run(() => {
      for (const tile of tiles) rowStats(cmd, profile, tile, stats);
    });
    const s = await read(stats);
    const row = (r: number) => logits.subarray(r * vocab, (r + 1) * vocab);
    for (let r = 0; r < rows; r++) {
      expect(s[2 * r]).toBe(Math.max(...row(r)));
      const sum = row(r).reduce((total, z) => total + Math.exp(z - s[2 * r]), 0);
      // Each term: the difference and exp, (3 + 2|x|) ε of a value e^x with |x| e^x < 1/2; then a sum of positive terms,
      // rescaled once per chunk.
      const relative = (vocab + 8 + 8 * tiles.length) * EPS;
      expectWithin([s[2 * r + 1]], [sum], [relative * sum], `row ${r}`);
      const shifted = [...row(r)];
      shifted[shifted.indexOf(s[2 * r])] -= 0.01;
      const wrong = shifted.reduce((total, z) => total + Math.exp(z - s[2 * r]), 0);
      expect(() => expectWithin([s[2 * r + 1]], [wrong], [relative * sum])).toThrow(/times the bound/);
    }

    // No entry, one, two, and two of the same token.
    const counts = Array.from({ length: rows }, (_, r) => [1, 0, 2][r % 3]);
    const entries: number[] = [];
    const rowEntries = [0];
    counts.forEach((count, r) => {
      for (let i = 0; i < count; i++) entries.push(r, r === 5 ? 3 : rng.int(vocab), 0, 0);
      rowEntries.push(entries.length / 4);
    });
    const weights = rng.normals(entries.length / 4);
    const views = {
      stats,
      entries: input(Uint32Array.from(entries)),
      weights: input(weights),
      row_entries: input(Uint32Array.from(rowEntries)),
    };
    await run(() => {
      for (const tile of tiles) logitsGradient(cmd, profile, tile, views);
    });
    for (const tile of tiles) {
      const actual = await read(tile.view);
      const expected = new Float64Array(rows * tile.ld);
      const bound = new Float64Array(rows * tile.ld);
      for (let r = 0; r < rows; r++) {
        const own = [...weights.keys()].filter((e) => entries[4 * e] === r);
        const lse = logSumExp(row(r));
        for (let c = 0; c < tile.columns; c++) {
          const v = tile.firstColumn + c;
          const z = logits[r * vocab + v];
          const p = Math.exp(z - lse);
          for (const e of own) {
            expected[r * tile.ld + c] += weights[e] * (p - (entries[4 * e + 1] === v ? 1 : 0));
            // exp and the quotient of p, whose sum errs as above; two products and the subtraction.
            const relative = (vocab + 20 + 8 * tiles.length + 2 * Math.abs(z - s[2 * r])) * EPS;
            bound[r * tile.ld + c] +=
              Math.abs(weights[e]) * (relative * p + 4 * EPS * (p + (entries[4 * e + 1] === v ? 1 : 0))) + FLUSHED;
          }
        }
      }
      // Rows without an entry and columns beyond the vocabulary must be exactly zero: their bound is.
      expectWithin(actual, expected, bound, `columns from ${tile.firstColumn}`);
      const wrong = expected.slice();
      wrong[0] += 0.001;
      expect(() => expectWithin(actual, wrong, bound)).toThrow(/times the bound/);
    }
  });

  test.each(['F32', 'BF16', 'F16', 'NF4'] as const)('target logits and mean logits of a head in %s', async (format) => {
    const [rows, hidden, vocab] = [5, 172, 21];
    const h = rng.normals(rows * hidden);
    const pairs = Array.from({ length: 9 }, () => [rng.int(rows), rng.int(vocab)]);
    const entries = input(Uint32Array.from(pairs.flatMap(([r, t]) => [r, t, 0, 0])));
    for (const bindingLimit of [2 ** 27, 172 * 4 * 5]) {
      const { weight, values } = randomWeight(rng, vocab, hidden, { format, bindingLimit });
      const z = output(pairs.length);
      const mean = output(hidden);
      const rowLogits = output(rows * 2);
      await run(() => {
        entryLogits(cmd, profile, weight, entries, pairs.length, input(h), z);
        columnMean(cmd, weight, mean);
        const sides = input(Uint32Array.from({ length: rows }, (_, r) => r % 4));
        rowMeanLogit(cmd, profile, rows, hidden, { hidden: input(h), mean, sides, row_logits: rowLogits });
      });
      const dot = (r: number, v: number, size = (x: number) => x) => {
        let sum = 0;
        for (let i = 0; i < hidden; i++) sum += size(h[r * hidden + i] * values[v * hidden + i]);
        return sum;
      };
      const roundings = (hidden + 2 + readRoundings(format)) * EPS;
      const expected = pairs.map(([r, t]) => dot(r, t));
      const bound = pairs.map(([r, t]) => roundings * dot(r, t, Math.abs));
      expectWithin(await read(z), expected, bound, 'z');
      const off = expected.slice();
      off[3] += 0.05 * Math.abs(h[pairs[3][0] * hidden]) + 0.001;
      const actual = await read(z);
      expect(() => expectWithin(actual, off, bound)).toThrow(/times the bound/);

      const column = (c: number, size = (x: number) => x) => {
        let sum = 0;
        for (let v = 0; v < vocab; v++) sum += size(values[v * hidden + c]);
        return sum / vocab;
      };
      const columns = [...Array(hidden).keys()];
      const meanBound = columns.map((c) => (vocab + 2 + readRoundings(format)) * EPS * column(c, Math.abs));
      expectWithin(
        await read(mean),
        columns.map((c) => column(c)),
        meanBound,
        'mean',
      );

      const logits = await read(rowLogits);
      const all = [...Array(vocab).keys()];
      for (let r = 0; r < rows; r++) {
        const average = all.reduce((sum, v) => sum + dot(r, v), 0) / vocab;
        const size = all.reduce((sum, v) => sum + dot(r, v, Math.abs), 0) / vocab;
        expectWithin(
          [logits[2 * r]],
          [average],
          [(hidden + vocab + 4 + readRoundings(format)) * EPS * size],
          'mean logit',
        );
        expect(logits[2 * r + 1]).toBe(r % 4);
      }
    }
  });
});
