/** What is kept in this browser, of whatever kind: listed with sizes, and deleted. */

import { RunStore } from '../runs/run-store';
import type { BackendStores } from '../storage/backends';
import { isPersisted } from '../storage/browser';
import { withModelLock } from '../storage/locks';
import { type ModelStore, storedBytes } from '../storage/store';
import { StateError } from './errors';
import type { Requests, RunSummary, StorageReport, StorageRequests, StoredItem } from './protocol';

/** A kind of thing that is kept. */
export interface StoredKind {
  kind: string;
  items(): Promise<Omit<StoredItem, 'kind'>[]>;
  delete(id: string): Promise<void>;
}

/** Models, in whichever backend they lie. `mayDelete` throws where one is in use. */
export function storedModels(stores: BackendStores, mayDelete: (id: string) => void = () => {}): StoredKind {
  return {
    kind: 'model',
    async items() {
      const uses = await stores.lastUses();
      return Promise.all(
        (await stores.placed()).map(async ({ record, backend }) => ({
          id: record.id,
          name: typeof record.about.title === 'string' ? record.about.title : record.id,
          bytes: await storedBytes(stores, record),
          totalBytes: record.files.reduce((sum, { size }) => sum + size, 0),
          backend,
          lastUsed: uses[record.id] ?? null,
        })),
      );
    },
    async delete(id) {
      mayDelete(id);
      await withModelLock(id, () => stores.deleteModel(id), { orFail: true });
    },
  };
}

/** Runs with their checkpoints; also those that were deleted and can still be brought back, as they take room. */
export function storedRuns(store: ModelStore, summaries: () => Promise<RunSummary[]>): StoredKind {
  const runs = new RunStore(store);
  return {
    kind: 'run',
    items: async () =>
      (await runs.list()).map(({ record: { id, name, deletedAt, updatedAt }, bytes }) => ({
        id,
        name: deletedAt === null ? name : `${name} (deleted, not yet cleared away)`,
        bytes,
        totalBytes: bytes,
        backend: 'indexeddb',
        lastUsed: updatedAt,
      })),
    async delete(id) {
      if ((await summaries()).some(({ record, live }) => record.id === id && live)) {
        throw new StateError('in-use', 'This run is training. Stop it before deleting it.');
      }
      await runs.remove(id);
    },
  };
}

type Handlers = { [K in keyof StorageRequests]: (args: Requests[K]['args']) => Promise<Requests[K]['result']> };

export class StorageDesk {
  readonly #stores: BackendStores;
  readonly #kinds: readonly StoredKind[];

  constructor(stores: BackendStores, kinds: readonly StoredKind[]) {
    this.#stores = stores;
    this.#kinds = kinds;
  }

  readonly handlers: Handlers = {
    storage: () => this.#report(),
    deleteStored: async ({ kind, id }) => {
      const owner = this.#kinds.find((k) => k.kind === kind);
      if (!owner) throw new StateError('unknown-kind', `Nothing of the kind ${kind} is kept here. Reload the page.`);
      await owner.delete(id);
      return this.#report();
    },
    measureStorage: async () => {
      await this.#stores.measure();
      return this.#report();
    },
  };

  async #report(): Promise<StorageReport> {
    const items: StoredItem[] = [];
    for (const { kind, items: list } of this.#kinds) {
      for (const item of await list()) items.push({ kind, ...item });
    }
    items.sort((a, b) => b.bytes - a.bytes);
    return {
      items,
      ...(await this.#stores.usage()),
      persisted: await isPersisted(),
      backends: await this.#stores.states(),
    };
  }
}
