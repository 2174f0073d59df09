/** The pieces of the fused head against float64: log-sum-exp in chunks, target logits, mean logits, gradient. */
import { describe, expect, test } from 'vitest';
import {
  columnMean,
  entryLogits,
  headGradient,
  type LogitsTile,
  rowMeanLogit,
  rowStats,
  softmaxTile,
} from '../../src/ops/logits';
import { MatmulOps } from '../../src/ops/matmul';
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
  ])('log-sum-exp of %i rows over %i tokens in chunks of %i', async (rows, vocab, chunk) => {
    const logits = randomLogits(rng, rows, vocab);
    const tiles = tilesOf(logits, rows, vocab, chunk);
    const stats = output(rows * 4);
    await run(() => {
      for (const tile of tiles) rowStats(cmd, profile, tile, stats);
    });
    const s = await read(stats);
    const row = (r: number) => logits.subarray(r * vocab, (r + 1) * vocab);
    for (let r = 0; r < rows; r++) {
      expect(s[4 * r]).toBe(Math.max(...row(r)));
      const sum = row(r).reduce((total, z) => total + Math.exp(z - s[4 * r]), 0);
      // Each term: the difference and exp, (3 + 2|x|) ε of a value e^x with |x| e^x < 1/2; then a sum of positive terms,
      // rescaled once per chunk.
      const relative = (vocab + 8 + 8 * tiles.length) * EPS;
      expectWithin([s[4 * r + 1]], [sum], [relative * sum], `row ${r}`);
      const shifted = [...row(r)];
      shifted[shifted.indexOf(s[4 * r])] -= 0.01;
      const wrong = shifted.reduce((total, z) => total + Math.exp(z - s[4 * r]), 0);
      expect(() => expectWithin([s[4 * r + 1]], [wrong], [relative * sum])).toThrow(/times the bound/);
    }
  });

  test.each([
    ['F32', 1, 19, 20, 2 ** 27],
    ['BF16', 7, 19, 8, 2 ** 27],
    ['F32', 9, 130, 64, 64 * 4 * 50],
    ['NF4', 6, 64, 32, 2 ** 27],
  ] as const)(
    'gradient through a head in %s of %i rows over %i tokens in chunks of %i',
    async (format, rows, vocab, chunk, bindingLimit) => {
      const hidden = 64;
      const { weight, values } = randomWeight(rng, vocab, hidden, { format, bindingLimit });
      const h = rng.normals(rows * hidden, 2);
      // No entry, one, two, two of the same token, three with a repeated one.
      const targets = Array.from({ length: rows }, (_, r) => {
        const [a, b] = [rng.int(vocab), rng.int(vocab)];
        return [[a], [], [a, b], [a, a], [a, b, a]][r % 5];
      });
      const entries = targets.flatMap((own, r) => own.map((id) => [r, id]));
      const rowEntries = [0];
      for (const own of targets) rowEntries.push(rowEntries.at(-1)! + own.length);
      const w = rng.normals(Math.max(1, entries.length));
      const shared = {
        stats: output(rows * 4),
        entries: input(Uint32Array.from(entries.flatMap(([r, id]) => [r, id, 0, 0]))),
        row_entries: input(Uint32Array.from(rowEntries)),
      };
      const grad = output(rows * hidden);
      const tile = output(rows * chunk);
      const z = output(Math.max(1, entries.length));
      const hiddenView = input(h);
      await run(() => {
        const matmul = new MatmulOps(cmd, profiles.direct);
        for (let firstColumn = 0; firstColumn < vocab; firstColumn += chunk) {
          const columns = Math.min(chunk, vocab - firstColumn);
          const range = [firstColumn, firstColumn + columns] as const;
          matmul.forward(weight, rows, { view: hiddenView, ld: hidden }, { view: tile, ld: chunk }, {}, range);
          const place = { view: tile, ld: chunk, rows, firstRow: 0, columns, firstColumn };
          softmaxTile(cmd, profile, place, hidden, { ...shared, weighted: grad });
          const out = { view: grad, ld: hidden };
          matmul.backward(weight, rows, { view: tile, ld: chunk }, out, { accumulate: firstColumn > 0 }, range);
        }
        entryLogits(cmd, profile, weight, shared.entries, entries.length, hiddenView, z);
        headGradient(cmd, profile, weight, rows, { ...shared, grad, weights: input(w), z });
      });
      const actual = await read(grad);
      const expected = new Float64Array(rows * hidden);
      const bound = new Float64Array(rows * hidden);
      targets.forEach((own, r) => {
        const logits = Float64Array.from({ length: vocab }, (_, v) => {
          let sum = 0;
          for (let i = 0; i < hidden; i++) sum += h[r * hidden + i] * values[v * hidden + i];
          return sum;
        });
        const lse = logSumExp(logits);
        const first = entries.findIndex(([row]) => row === r);
        logits.forEach((logit, v) => {
          const p = Math.exp(logit - lse);
          let c = 0;
          let size = 0;
          own.forEach((id, e) => {
            c += w[first + e] * (p - (id === v ? 1 : 0));
            size += Math.abs(w[first + e]) * (id === v ? 1 - p + p * own.length : p);
          });
          for (let i = 0; i < hidden; i++) {
            expected[r * hidden + i] += c * values[v * hidden + i];
            // Logits err by their terms' sizes; exp carries that over, and sums and products add their own.
            const relative = (4 * (vocab + hidden) + 100) * EPS;
            bound[r * hidden + i] += relative * size * Math.abs(values[v * hidden + i]) + FLUSHED;
          }
        });
      });
      // Rows without an entry must be exactly zero: their bound all but is.
      expectWithin(actual, expected, bound, 'gradient');
      const wrong = expected.slice();
      wrong[0] += 0.001;
      expect(() => expectWithin(actual, wrong, bound)).toThrow(/times the bound/);
    },
  );

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
