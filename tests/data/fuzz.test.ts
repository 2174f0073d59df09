/** Damaged files of every kind give rows or a named error: never a crash, never a hang. */
import { readFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { DataError } from '../../src/data/errors';
import { parsePreferenceData } from '../../src/data/parse';
import { MersenneTwister } from '../../src/data/random';
import { FIXTURES, streamOf } from './support';

const random = new MersenneTwister(7);
const below = (n: number) => random.nextU32() % Math.max(1, n);

const fixture = (path: string) => new Uint8Array(readFileSync(new URL(path, FIXTURES)));
const unpacked = (path: string, most: number) => new Uint8Array(gunzipSync(fixture(path))).slice(0, most);
const encode = (text: string) => new TextEncoder().encode(text);

const CSV = 'prompt,chosen,rejected\n"a, ""b""",yes,no\nQ,"line\nbreak",no\n'.repeat(10);
const seeds: { name: string; bytes: Uint8Array }[] = [
  { name: 'a.jsonl', bytes: unpacked('preference/string_triples_zh.jsonl.gz', 3000) },
  { name: 'b.jsonl', bytes: unpacked('preference/openai_dpo.jsonl.gz', 6000) },
  { name: 'c.json', bytes: unpacked('preference/label_index.json.gz', 6000) },
  { name: 'd.json', bytes: unpacked('preference/stack_exchange_paired.json.gz', 8000) },
  { name: 'e.json', bytes: encode(JSON.stringify({ data: [{ prompt: 'P', chosen: 'a', rejected: 'b' }] }, null, 1)) },
  { name: 'f.jsonl', bytes: unpacked('preference/content_parts.jsonl.gz', 6000) },
  { name: 'g.csv', bytes: encode(CSV) },
  { name: 'h.tsv', bytes: encode(CSV.replaceAll(',', '\t')) },
  { name: 'i.parquet', bytes: fixture('parquet/stories_snappy.parquet') },
  { name: 'j.parquet', bytes: fixture('parquet/message_lists_zstd.parquet') },
  { name: 'k.jsonl.gz', bytes: new Uint8Array(gzipSync(unpacked('preference/string_triples_zh.jsonl.gz', 3000))) },
];

type Mutation = (bytes: Uint8Array) => Uint8Array;
const splice = (bytes: Uint8Array, at: number, gone: number, more: Uint8Array) =>
  new Uint8Array(Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at + gone)]));
const mutations: Mutation[] = [
  (bytes) => bytes.slice(0, below(bytes.length)),
  (bytes) => bytes.slice(below(bytes.length)),
  (bytes) => {
    const copy = bytes.slice();
    for (let i = 0; i <= below(20); i++) copy[below(copy.length)] ^= 1 << below(8);
    return copy;
  },
  (bytes) => {
    const copy = bytes.slice();
    copy.fill(below(256), below(bytes.length), below(bytes.length));
    return copy;
  },
  (bytes) => splice(bytes, below(bytes.length), below(40), new Uint8Array(0)),
  (bytes) => splice(bytes, below(bytes.length), 0, bytes.subarray(below(bytes.length)).slice(0, 500)),
  (bytes) => splice(bytes, below(bytes.length), 0, encode('"[{]},:\\\n\r\t'.charAt(below(11)).repeat(1 + below(5)))),
  (bytes) => splice(bytes, below(bytes.length), 0, encode('[{"a":'.repeat(1 + below(3000)))),
  (bytes) => splice(bytes, below(bytes.length), 0, new Uint8Array(below(20000)).fill(0x61)),
  (bytes) => new Uint8Array(Buffer.from(Buffer.from(bytes).toString('latin1'), 'utf16le')),
  (bytes) => new Uint8Array(Buffer.from(Buffer.from(bytes).toString('utf8'), 'latin1')),
  (bytes) => splice(bytes, 0, 0, [Uint8Array.from([0xef, 0xbb, 0xbf]), encode('\r\n\n '), encode('[')][below(3)]),
  (bytes) => splice(bytes, bytes.length, 0, bytes.subarray(0, below(bytes.length))),
  (bytes) => encode(new TextDecoder('latin1').decode(bytes).replaceAll('chosen', 'rejected')),
  (bytes) =>
    encode(
      new TextDecoder('utf-8').decode(bytes).replace(/"[^"]{0,40}"/g, (text) => ['null', '7', '[]', text][below(4)]),
    ),
];

it('2,000 damaged files', async () => {
  const began = performance.now();
  let slowest = 0;
  const outcomes = { rows: 0, refused: 0 };
  for (let i = 0; i < 2000; i++) {
    const seed = seeds[i % seeds.length];
    let bytes = seed.bytes;
    for (let n = 0; n <= below(2); n++) bytes = mutations[below(mutations.length)](bytes);
    const start = performance.now();
    try {
      const data = await parsePreferenceData(streamOf(bytes, 1 + bytes.length / 50 + below(4000)), { name: seed.name });
      expect(data.rows.length).toBeGreaterThan(0);
      for (const row of data.rows) {
        expect(typeof row.prompt).toBe('string');
        expect(row.chosen.trim()).not.toBe('');
        expect(row.rejected.trim()).not.toBe('');
      }
      const counted = data.problemCounts.reduce((sum, { count }) => sum + count, 0);
      expect(data.total).toBe(data.usable + counted);
      outcomes.rows += 1;
    } catch (error) {
      if (!(error instanceof DataError)) throw new Error(`file ${i} (${seed.name}) crashed`, { cause: error });
      expect(error.message.length).toBeGreaterThan(20);
      expect(error.message.length).toBeLessThan(1200);
      outcomes.refused += 1;
    }
    slowest = Math.max(slowest, performance.now() - start);
  }
  expect(outcomes.rows).toBeGreaterThan(300);
  expect(outcomes.refused).toBeGreaterThan(100);
  expect(slowest).toBeLessThan(10_000);
  expect(performance.now() - began).toBeLessThan(90_000);
});

it('deep nesting and endless structures', async () => {
  const deep = '['.repeat(200_000);
  for (const [name, text] of [
    ['a.json', deep],
    ['b.jsonl', `${deep}\n`],
    ['c.json', '{"a":'.repeat(200_000)],
    ['d.json', `[${'{"chosen":'.repeat(100_000)}1${'}'.repeat(100_000)}]`],
    ['e.csv', `prompt,chosen,rejected\n"${'x'.repeat(3_000_000)}`],
  ]) {
    await expect(parsePreferenceData(streamOf(text, 65536), { name })).rejects.toBeInstanceOf(DataError);
  }
});
