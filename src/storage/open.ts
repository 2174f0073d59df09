/** The storage of a page's worker. */
import { BackendStores } from './backends';
import { IndexedDbModelStore } from './indexed-db';
import { OpfsModelStore } from './opfs';

export function openStores(): BackendStores {
  const opfs = new OpfsModelStore();
  return new BackendStores({
    // What fails in IndexedDB is told by the call that needs it.
    indexeddb: { store: new IndexedDbModelStore(), unavailable: async () => null },
    opfs: { store: opfs, unavailable: () => opfs.unavailable() },
  });
}
