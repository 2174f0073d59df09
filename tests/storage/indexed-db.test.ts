import 'fake-indexeddb/auto';
import { promisifyRequest } from 'idb-keyval';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { IndexedDbModelStore } from '../../src/storage/indexed-db';
import { openStoredModel } from '../../src/storage/model-files';
import {
  CHUNK_BYTES,
  type ModelRecord,
  type ModelStore,
  StorageError,
  type StoredFile,
  storedBytes,
} from '../../src/storage/store';
import { pseudoRandomBytes, sha256 } from '../support/model-server';

let database = 0;
const open = () => new IndexedDbModelStore(`test-${++database}`);
const record = (id: string, files: [string, number][], complete = true): ModelRecord => ({
  id,
  about: { title: id },
  files: files.map(([name, size]) => ({ name, size, sha256: '', complete })),
});

/** A store with one model of one file, of two chunks and a bit. */
async function stored() {
  const store = open();
  const bytes = pseudoRandomBytes(2 * CHUNK_BYTES + 1234);
  await store.putRecord(record('m', [['w', bytes.length]]));
  for (let i = 0; i < 3; i++)
    await store.writeChunk('m', 'w', i, bytes.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES));
  return { store, bytes };
}

/** Changes one stored chunk behind the store's back. */
async function tamper(index: number, value: ArrayBuffer | null) {
  const db = await promisifyRequest(indexedDB.open(`test-${database}`));
  const tx = db.transaction('chunks', 'readwrite');
  if (value) tx.objectStore('chunks').put(value, ['m', 'w', index]);
  else tx.objectStore('chunks').delete(['m', 'w', index]);
  await promisifyRequest(tx);
  db.close();
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('IndexedDbModelStore', () => {
  it('keeps records and chunks, across connections', async () => {
    const { store, bytes } = await stored();
    await store.close();
    const again = new IndexedDbModelStore(`test-${database}`);
    expect(await again.list()).toEqual([record('m', [['w', bytes.length]])]);
    expect(await again.record('other')).toBeUndefined();
    const chunks = await again.chunks('m', 'w');
    expect(chunks.map((c) => [c.index, c.byteLength])).toEqual([
      [0, CHUNK_BYTES],
      [1, CHUNK_BYTES],
      [2, 1234],
    ]);
    expect(chunks[2].sha256).toBe(sha256(bytes.subarray(2 * CHUNK_BYTES)));
    expect(Buffer.compare(await again.readChunk('m', 'w', 1), bytes.subarray(CHUNK_BYTES, 2 * CHUNK_BYTES))).toBe(0);
  });

  it('deletes only what it is told to, and keeps order past ten chunks', async () => {
    const store = open();
    for (const id of ['a', 'ab', 'b']) {
      await store.putRecord(record(id, [['x', 12]], false));
      for (let i = 11; i >= 0; i--) await store.writeChunk(id, 'x', i, Uint8Array.of(i));
      await store.writeChunk(id, 'y', 0, Uint8Array.of(1));
    }
    expect((await store.chunks('a', 'x')).map((c) => c.index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(await storedBytes(store, await store.record('a'))).toBe(12);
    await store.deleteFile('a', 'x');
    expect([(await store.chunks('a', 'x')).length, (await store.chunks('a', 'y')).length]).toEqual([0, 1]);
    await store.deleteModel('a');
    expect([(await store.chunks('a', 'y')).length, (await store.chunks('ab', 'x')).length]).toEqual([0, 12]);
    expect((await store.list()).map((r) => r.id)).toEqual(['ab', 'b']);
  });

  it('finds a chunk that is lost or has changed', async () => {
    const { store, bytes } = await stored();
    await tamper(1, bytes.slice(0, CHUNK_BYTES).buffer);
    await tamper(2, null);
    await expect(store.readChunk('m', 'w', 1)).rejects.toMatchObject({ code: 'corrupt-chunk' });
    await expect(store.readChunk('m', 'w', 2)).rejects.toMatchObject({ code: 'missing-chunk' });
    expect((await store.readChunk('m', 'w', 0)).length).toBe(CHUNK_BYTES);
  });

  it('writes no chunk of a model that was deleted', async () => {
    const store = open();
    await expect(store.writeChunk('gone', 'w', 0, Uint8Array.of(1))).rejects.toMatchObject({ code: 'model-deleted' });
    expect(await store.chunks('gone', 'w')).toEqual([]);
  });

  it('names a full quota, and keeps what was stored', async () => {
    const { store, bytes } = await stored();
    const put = IDBObjectStore.prototype.put;
    vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(function (this: IDBObjectStore, ...args) {
      if (this.name === 'chunks') throw new DOMException('no room', 'QuotaExceededError');
      return put.apply(this, args);
    });
    const error = await store.writeChunk('m', 'w', 0, Uint8Array.of(1)).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(StorageError);
    expect(error).toMatchObject({ code: 'quota-exceeded' });
    vi.restoreAllMocks();
    expect(Buffer.compare(await store.readChunk('m', 'w', 0), bytes.subarray(0, CHUNK_BYTES))).toBe(0);
  });

  it('names a browser without storage, and tries again at the next call', async () => {
    const store = open();
    const spy = vi.spyOn(indexedDB, 'open').mockImplementation(() => {
      throw new DOMException('denied', 'SecurityError');
    });
    await expect(store.list()).rejects.toMatchObject({ code: 'storage-unavailable' });
    spy.mockRestore();
    expect(await store.list()).toEqual([]);
  });
});

describe('files of a stored model', () => {
  it('reads ranges across chunks', async () => {
    const { store, bytes } = await stored();
    const files = await openStoredModel(store, 'm');
    expect(files.names).toEqual(['w']);
    const source = await files.open('w');
    expect(source.size).toBe(bytes.length);
    for (const [begin, end] of [
      [0, 0],
      [0, 10],
      [CHUNK_BYTES - 1, CHUNK_BYTES + 1],
      [5, bytes.length],
      [bytes.length - 3, bytes.length],
      [bytes.length, bytes.length],
    ]) {
      expect(Buffer.compare(await source.read(begin, end), bytes.subarray(begin, end))).toBe(0);
    }
    await expect(source.read(0, bytes.length + 1)).rejects.toThrow(RangeError);
    await expect(files.open('other')).rejects.toMatchObject({ code: 'missing-file' });
  });

  it('reads each chunk once while ranges stay within it, and one ahead once they go on in a row', async () => {
    const { store, bytes } = await stored();
    const reads = vi.spyOn(store, 'readChunk');
    const asked = () => reads.mock.calls.map((call) => call[2]);
    const source = await (await openStoredModel(store, 'm')).open('w');
    for (let i = 0; i < 20; i++) await source.read(i * 1000, i * 1000 + 500);
    expect(asked()).toEqual([0]);
    await source.read(CHUNK_BYTES, CHUNK_BYTES + 4);
    expect(asked()).toEqual([0, 1, 2]);
    await source.read(2 * CHUNK_BYTES, bytes.length);
    expect(asked()).toEqual([0, 1, 2]);
  });

  it('keeps few chunks in memory, however many files there are', async () => {
    const files = ['a', 'b', 'c'].map((name): StoredFile => {
      return { name, size: 3 * CHUNK_BYTES, sha256: null, complete: true };
    });
    const asked: string[] = [];
    const store = {
      record: async () => ({ id: 'm', about: {}, files }),
      readChunk: async (_id: string, file: string, index: number) => {
        asked.push(file + index);
        return new Uint8Array(CHUNK_BYTES);
      },
    } as unknown as ModelStore;
    const model = await openStoredModel(store, 'm');
    const sources = await Promise.all(files.map(({ name }) => model.open(name)));
    for (const source of sources) await source.read(0, source.size);
    expect(asked).toEqual(['a0', 'a1', 'a2', 'b0', 'b1', 'b2', 'c0', 'c1', 'c2']);
    for (const source of sources) await source.read(0, 4);
    expect(asked.slice(9)).toEqual(['a0', 'b0', 'c0']);
  });

  it('has a lost chunk repaired, or says that it is lost', async () => {
    const { store, bytes } = await stored();
    await tamper(1, null);
    const range = [CHUNK_BYTES, CHUNK_BYTES + 8] as const;
    const plain = await (await openStoredModel(store, 'm')).open('w');
    await expect(plain.read(...range)).rejects.toMatchObject({ code: 'missing-chunk' });
    const repaired: unknown[] = [];
    const files = await openStoredModel(store, 'm', async (file, index) => {
      repaired.push(file, index);
      await store.writeChunk('m', file, index, bytes.subarray(CHUNK_BYTES, 2 * CHUNK_BYTES));
    });
    expect(Buffer.compare(await (await files.open('w')).read(...range), bytes.subarray(...range))).toBe(0);
    expect(repaired).toEqual(['w', 1]);
    expect((await plain.read(...range)).length).toBe(8); // a failure is not remembered
  });

  it('does not open a model that is not complete', async () => {
    const store = open();
    await expect(openStoredModel(store, 'm')).rejects.toMatchObject({ code: 'missing-file' });
    await store.putRecord(record('m', [['w', 1]], false));
    await expect(openStoredModel(store, 'm')).rejects.toMatchObject({ code: 'missing-file' });
  });
});
