/** The storage requests over real stores (IndexedDB in memory): models and runs listed alike, deleted, and held back while in use. */
import 'fake-indexeddb/auto';
import { describe, expect, it } from 'vitest';
import { RunStore } from '../../src/runs/run-store';
import { BackendStores } from '../../src/storage/backends';
import { IndexedDbModelStore } from '../../src/storage/indexed-db';
import { withModelLock } from '../../src/storage/locks';
import { openStoredModel } from '../../src/storage/model-files';
import { StorageNotes } from '../../src/storage/notes';
import { StateError } from '../../src/worker/errors';
import type { RunSummary } from '../../src/worker/protocol';
import { StorageDesk, storedModels, storedRuns } from '../../src/worker/storage-desk';

let count = 0;
async function desk({ live = [] as string[], inUse = '' } = {}) {
  const name = `desk-${++count}`;
  const models = new IndexedDbModelStore(name);
  const runs = new IndexedDbModelStore(`${name}-runs`);
  const stores = new BackendStores(
    { indexeddb: { store: models, unavailable: async () => null } },
    new StorageNotes(`${name}-notes`),
  );
  const file = { name: 'w', size: 5, sha256: null };
  await stores.putRecord({ id: 'a', about: { title: 'Model A' }, files: [{ ...file, complete: true }] });
  await stores.writeChunk('a', 'w', 0, new Uint8Array(5));
  await stores.putRecord({ id: 'b', about: {}, files: [{ ...file, size: 9, complete: false }] });
  await stores.writeChunk('b', 'w', 0, new Uint8Array(3));
  const record = { id: 'r', name: 'Run', updatedAt: 7, createdAt: 7, deletedAt: null } as never;
  await new RunStore(runs).create(record, new Uint8Array(40));
  const summaries = async () => live.map((id) => ({ record: { id }, live: true }) as RunSummary);
  const mayDelete = (id: string) => {
    if (id === inUse) throw new StateError('in-use', 'used');
  };
  return {
    stores,
    runs,
    handlers: new StorageDesk(stores, [storedModels(stores, mayDelete), storedRuns(runs, summaries)]).handlers,
  };
}

describe('what is stored', () => {
  it('is listed by size, with how much of it is there, and when it was used', async () => {
    const { stores, handlers } = await desk();
    const before = Date.now();
    const { items, backends } = await handlers.storage({});
    expect(items.map(({ kind, id, name, bytes, totalBytes }) => [kind, id, name, bytes, totalBytes])).toEqual([
      ['run', 'r', 'Run', 40, 40],
      ['model', 'a', 'Model A', 5, 5],
      ['model', 'b', 'b', 3, 9],
    ]);
    expect(items.map(({ backend }) => backend)).toEqual(['indexeddb', 'indexeddb', 'indexeddb']);
    expect(items[1].lastUsed).toBeNull();
    await openStoredModel(stores, 'a');
    await expect.poll(async () => (await handlers.storage({})).items[1].lastUsed).toBeGreaterThanOrEqual(before);
    expect(backends).toEqual([{ backend: 'indexeddb', unavailable: null, speed: null, chosen: true }]);
  });

  it('is deleted by kind and id', async () => {
    const { runs, stores, handlers } = await desk();
    const ids = ({ items }: Awaited<ReturnType<typeof handlers.storage>>) => items.map(({ id }) => id);
    expect(ids(await handlers.deleteStored({ kind: 'model', id: 'a' }))).toEqual(['r', 'b']);
    expect(ids(await handlers.deleteStored({ kind: 'run', id: 'r' }))).toEqual(['b']);
    expect([await runs.list(), await stores.record('a')]).toEqual([[], undefined]);
    await expect(handlers.deleteStored({ kind: 'song', id: 'b' })).rejects.toMatchObject({ code: 'unknown-kind' });
  });

  it('stays while it is in use', async () => {
    const { handlers } = await desk({ live: ['r'], inUse: 'a' });
    await expect(handlers.deleteStored({ kind: 'model', id: 'a' })).rejects.toMatchObject({ code: 'in-use' });
    await expect(handlers.deleteStored({ kind: 'run', id: 'r' })).rejects.toMatchObject({ code: 'in-use' });
    await withModelLock('b', async () => {
      await expect(handlers.deleteStored({ kind: 'model', id: 'b' })).rejects.toMatchObject({ code: 'model-busy' });
    });
    expect((await handlers.storage({})).items).toHaveLength(3);
  });

  it('is measured without a trace', async () => {
    const { handlers } = await desk();
    const { items, backends } = await handlers.measureStorage({});
    expect(items).toHaveLength(3);
    expect(backends[0].speed!.readBytesPerSecond).toBeGreaterThan(1e5);
    expect((await handlers.storage({})).backends).toEqual(backends);
  });
});
