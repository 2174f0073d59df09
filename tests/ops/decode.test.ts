/** Attention of single tokens over a cache, the cache itself, and the pick of the largest logit, against float64. */
import { describe, expect, test } from 'vitest';
import type { KernelProfile } from '../../src/gpu/profile';
import { argmax, cacheWidth, decodeAttention, decodePartialValues, kvStore, readPicks } from '../../src/ops/decode';
import { attention } from '../reference/attention';
import { createRng, type Rng } from '../reference/rng';
import { downloadU32 } from '../support/gpu';
import { attentionBounds } from './attention-bounds';
import { cmd, device, expectWithin, input, output, profileCases, read, run } from './support';

interface Heads {
  heads: number;
  kvHeads: number;
  headDim: number;
}

/** Sequences of these lengths; the last token of each is the query. */
async function check(profile: KernelProfile, lengths: number[], shape: Heads, rng: Rng): Promise<void> {
  const { heads, kvHeads, headDim } = shape;
  const ld = (heads + 2 * kvHeads) * headDim;
  const longest = Math.max(...lengths);
  const tokens = lengths.reduce((a, b) => a + b, 0);
  const qkv = rng.normals(tokens * ld);
  const column = (first: number, width: number) =>
    Float64Array.from({ length: tokens * width }, (_, i) => qkv[Math.floor(i / width) * ld + first + (i % width)]);
  const q = column(0, heads * headDim);
  const k = column(heads * headDim, kvHeads * headDim);
  const v = column((heads + kvHeads) * headDim, kvHeads * headDim);
  // Each sequence has `longest` rows of the cache; the last one comes first.
  const slot = (s: number) => (lengths.length - 1 - s) * longest;
  const cacheRows: number[] = [];
  const lastOf: number[] = [];
  lengths.forEach((length, s) => {
    for (let t = 0; t < length; t++) cacheRows.push(slot(s) + t);
    lastOf.push(cacheRows.length - 1);
  });
  const cache = output(lengths.length * longest * cacheWidth(shape));
  const queries = Float64Array.from(
    { length: lengths.length * ld },
    (_, i) => qkv[lastOf[Math.floor(i / ld)] * ld + (i % ld)],
  );
  const out = output(lengths.length * heads * headDim);
  await run(() => {
    kvStore(cmd, profile, shape, tokens, { qkv: input(qkv), rows: input(Uint32Array.from(cacheRows)), cache });
    decodeAttention(
      cmd,
      profile,
      shape,
      lengths.length,
      longest,
      {
        qkv: input(queries),
        cache,
        rows: input(Uint32Array.from(lastOf, (t) => cacheRows[t])),
        positions: input(Uint32Array.from(lengths, (length) => length - 1)),
        partials: output(decodePartialValues(shape, lengths.length, longest)),
      },
      out,
    );
  });
  let start = 0;
  const runs = lengths.map((length) => {
    const at = { start, end: start + length, prefixStart: start, prefixEnd: start };
    start += length;
    return at;
  });
  const dims = { tokens, ...shape };
  const lastRows = (all: Float64Array) =>
    Float64Array.from(lastOf.flatMap((t) => [...all.subarray(t * heads * headDim, (t + 1) * heads * headDim)]));
  const expected = (values: Float64Array) => lastRows(attention(q, k, values, { runs }, dims).o);
  const bound = lastRows(attentionBounds(q, k, v, new Float64Array(q.length), { runs }, dims).o);
  expectWithin(await read(out), expected(v), bound);
  // The negative control: a value of the last key off by a quarter.
  const wrong = v.slice();
  wrong[wrong.length - 1] += 0.25;
  const actual = await read(out);
  expect(() => expectWithin(actual, expected(wrong), bound)).toThrow(/times the bound/);
}

describe.each(profileCases.slice(0, 2))('decoding, %s', (name, profile) => {
  const rng = createRng(name.length + 3);

  test('grouped queries, sequences within one split and over several', async () => {
    await check(profile, [1, 64, 65, 130, 7], { heads: 6, kvHeads: 2, headDim: 8 }, rng);
  });

  test('head width 64, as many key heads as query heads', async () => {
    await check(profile, [70, 3], { heads: 2, kvHeads: 2, headDim: 64 }, rng);
  });

  test('the largest logit, the runner-up, and the first of equal ones', async () => {
    const [rows, columns, ld] = [3, 131, 132];
    const logits = rng.normals(rows * ld);
    const row = (r: number) => logits.subarray(r * ld, r * ld + columns);
    logits[columns] = 99;
    row(1)[130] = 50;
    row(2)[3] = 60;
    row(2)[64] = 60;
    const ids = input(new Uint32Array(rows));
    const picks = output(5 * 4);
    await run(() => argmax(cmd, profile, { rows, columns, ld, firstPick: 2 }, { logits: input(logits), ids, picks }));
    const words = await downloadU32(device, picks.buffer);
    const found = readPicks(words.buffer as ArrayBuffer).slice(2);
    found.forEach(({ id, logit, runnerUp }, r) => {
      const [top, second] = [...row(r)].sort((a, b) => b - a).map(Math.fround);
      expect({ id, logit, runnerUp }).toEqual({
        id: row(r).findIndex((z) => Math.fround(z) === top),
        logit: top,
        runnerUp: second,
      });
    });
    expect(found[2]).toMatchObject({ id: 3, logit: 60, runnerUp: 60 });
    expect([...(await downloadU32(device, ids.buffer))]).toEqual(found.map(({ id }) => id));
  });

  test('fewer logits than threads', async () => {
    const picks = output(4);
    const logits = input(Float32Array.from([-3, -1, -2, 9]));
    await run(() =>
      argmax(cmd, profile, { rows: 1, columns: 3, ld: 4, firstPick: 0 }, { logits, ids: output(4), picks }),
    );
    expect(readPicks((await downloadU32(device, picks.buffer)).buffer as ArrayBuffer)[0]).toEqual({
      id: 1,
      logit: -1,
      runnerUp: -2,
    });
  });
});
