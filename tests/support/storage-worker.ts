/** Bundled for Chromium by tests/storage/backends.test.ts: both stores and the two as one, in a worker as in the page. */
import type { BackendStores } from '../../src/storage/backends';
import { IndexedDbModelStore } from '../../src/storage/indexed-db';
import { withModelLock } from '../../src/storage/locks';
import { StorageNotes } from '../../src/storage/notes';
import { openStores } from '../../src/storage/open';
import { OpfsModelStore } from '../../src/storage/opfs';
import { CHUNK_BYTES, type ModelRecord } from '../../src/storage/store';

const stores = { indexeddb: new IndexedDbModelStore(), opfs: new OpfsModelStore() };
const all: BackendStores = openStores();
export type BackendName = keyof typeof stores;

/** The bytes of one chunk; not such as a browser could store compressed. */
function chunk(index: number, length = CHUNK_BYTES): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0, x = index + 1; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

const same = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((x, i) => x === b[i]);
const record = (id: string, files: [string, number][], complete = true): ModelRecord => ({
  id,
  about: { title: id },
  files: files.map(([name, size]) => ({ name, size, sha256: null, complete })),
});
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'none',
    (e: { code?: string }) => e.code ?? String(e),
  );

const api = {
  /** What a store says to everything that may be asked of it. */
  async contract(name: BackendName) {
    const store = stores[name];
    const said: unknown[] = [];
    const [id, other, file] = ['org/model@main: ä%', 'org/model', 'model-1 of 2.safetensors'];
    said.push(await store.list(), (await store.record(id)) ?? null);
    await store.putRecord(record(id, [[file, 2 * CHUNK_BYTES + 5]], false));
    await store.putRecord(record(other, [['x', 3]]));
    await store.writeChunk(id, file, 2, chunk(2, 5));
    await Promise.all([0, 1].map((i) => store.writeChunk(id, file, i, chunk(i))));
    await store.writeChunk(other, 'x', 0, chunk(7, 3));
    said.push((await store.list()).sort((a, b) => (a.id < b.id ? -1 : 1)));
    said.push(await store.chunks(id, file), await store.chunks(id, 'none'), await store.chunks('none', file));
    for (const i of [2, 0, 1]) said.push(same(await store.readChunk(id, file, i), chunk(i, i === 2 ? 5 : undefined)));
    const into = new Uint8Array(CHUNK_BYTES);
    const short = await store.readChunk(id, file, 2, into);
    said.push(same(short, chunk(2, 5)), short.buffer === into.buffer);
    said.push(await codeOf(store.readChunk(id, file, 3)), await codeOf(store.readChunk('none', file, 0)));
    said.push(await codeOf(store.writeChunk('none', file, 0, chunk(0, 4))));
    await store.writeChunk(id, file, 0, chunk(9));
    said.push(same(await store.readChunk(id, file, 0), chunk(9)));
    await store.putRecord(record(id, [[file, 2 * CHUNK_BYTES + 5]], true));
    said.push(await store.record(id));
    await store.deleteFile(id, file);
    said.push(await store.chunks(id, file), await codeOf(store.readChunk(id, file, 0)));
    await store.deleteModel(id);
    said.push((await store.record(id)) ?? null, await codeOf(store.writeChunk(id, file, 0, chunk(0, 4))));
    said.push(await store.list(), same(await store.readChunk(other, 'x', 0), chunk(7, 3)));
    await store.deleteModel(other);
    said.push(await store.list());
    return said;
  },

  async put(name: BackendName, id: string, chunks: number) {
    await stores[name].putRecord(record(id, [['w', chunks * CHUNK_BYTES]]));
    for (let i = 0; i < chunks; i++) await stores[name].writeChunk(id, 'w', i, chunk(i));
  },
  write: (name: BackendName, id: string, index: number) =>
    codeOf(stores[name].writeChunk(id, 'w', index, chunk(index))),
  async read(name: BackendName, id: string, index: number) {
    let ok = false;
    const code = await codeOf(stores[name].readChunk(id, 'w', index).then((bytes) => (ok = same(bytes, chunk(index)))));
    return code === 'none' ? ok : code;
  },
  remove: (name: BackendName, id: string) => codeOf(stores[name].deleteModel(id)),
  ids: async (name: BackendName) => (await stores[name].list()).map(({ id }) => id).sort(),
  close: () => stores.opfs.close(),

  /** Changes the bytes of a file of the private file system behind the store's back. */
  async damage(id: string, file: string, at: number, length: number | null) {
    await stores.opfs.close();
    const root = await navigator.storage.getDirectory();
    const model = await (await root.getDirectoryHandle('models')).getDirectoryHandle(encodeURIComponent(id));
    const writable = await (await model.getFileHandle(file)).createWritable({ keepExistingData: true });
    if (length === null) await writable.truncate(at);
    else await writable.write({ type: 'write', position: at, data: new Uint8Array(length).fill(255) });
    await writable.close();
  },
  /** A folder without a record, as a deletion that another tab cut short leaves it. */
  async leave(id: string) {
    const models = await (await navigator.storage.getDirectory()).getDirectoryHandle('models', { create: true });
    await (await models.getDirectoryHandle(id, { create: true })).getFileHandle('w.data', { create: true });
  },
  async folders() {
    const names: string[] = [];
    const models = await (await navigator.storage.getDirectory()).getDirectoryHandle('models', { create: true });
    for await (const name of (models as unknown as { keys(): AsyncIterable<string> }).keys()) names.push(name);
    return names.sort();
  },
  hold: (id: string) =>
    new Promise<void>((held) => {
      void withModelLock(id, () => {
        held();
        return new Promise<void>((release) => (api.release = release));
      });
    }),
  release: () => {},

  // The two as one.
  states: () => all.states(),
  measure: () => all.measure(),
  placed: async () => Object.fromEntries((await all.placed()).map(({ record: { id }, backend }) => [id, backend])),
  /** Says how fast each is, as if measured; bytes per second of reading and writing. */
  pretend: (speeds: Record<BackendName, number>) =>
    new StorageNotes().write(
      'speeds',
      Object.fromEntries(
        Object.entries(speeds).map(([k, v]) => [k, { readBytesPerSecond: v, writeBytesPerSecond: v }]),
      ),
    ),
  async store(id: string, chunks: number) {
    await all.putRecord(record(id, [['w', chunks * CHUNK_BYTES]]));
    await all.writeChunk(id, 'w', 0, chunk(0));
    return same(await all.readChunk(id, 'w', 0), chunk(0));
  },
  /** Reads with an object that remembers places. */
  readAny: async (id: string) => codeOf(all.readChunk(id, 'w', 0)),
  removeAny: (id: string) => all.deleteModel(id),
};

export type StorageWorker = typeof api;

self.addEventListener('message', async ({ data: { id, name, args } }) => {
  const work = (api as unknown as Record<string, (...args: unknown[]) => unknown>)[name];
  let result: unknown;
  try {
    result = await work(...args);
  } catch (error) {
    result = { failed: String(error) };
  }
  self.postMessage({ id, result });
});
