/** What the data tests read: model files and goldens kept in tests/fixtures/data. */
import { readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { loadTokenizer, type Tokenizer } from '../../src/data/tokenizer';
import type { ModelFiles } from '../../src/formats/bytes';

export const FIXTURES = new URL('../fixtures/data/', import.meta.url);

/** The files of a folder as the engine sees a model's files. */
export function folderFiles(folder: URL): ModelFiles {
  return {
    names: readdirSync(folder),
    open: async (name) => {
      const bytes = new Uint8Array(readFileSync(new URL(name, folder)));
      return { size: bytes.length, read: async (begin, end) => bytes.slice(begin, end) };
    },
  };
}

export function fixtureTokenizer(model: 'stories-260k' | 'pocket-15m'): Promise<Tokenizer> {
  return loadTokenizer(folderFiles(new URL(`${model}/`, FIXTURES)));
}

export function readJsonFixture<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(path, FIXTURES), 'utf8')) as T;
}

/** Rows of a gzipped JSONL fixture. */
export function readJsonl<T>(path: string): T[] {
  const text = gunzipSync(readFileSync(new URL(path, FIXTURES))).toString('utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}

/** A stream of these bytes in pieces of the given size. */
export function streamOf(data: string | Uint8Array, piece = 1000): ReadableStream<Uint8Array> {
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) controller.close();
      else controller.enqueue(bytes.slice(at, at + piece));
      at += piece;
    },
  });
}
