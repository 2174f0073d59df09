import { StorageError } from './store';

/** Locks of this thread, for where there are no Web Locks (Node). */
const held = new Map<string, Promise<unknown>>();

interface LockOptions {
  signal?: AbortSignal;
  /** Reject with `model-busy` instead of waiting. */
  orFail?: boolean;
}

/**
 * Runs `work` while no other tab, window or worker changes this model. Without `orFail` it waits for its turn. Rejects with
 * the signal's reason when that fires while waiting.
 */
export async function withModelLock<T>(id: string, work: () => Promise<T>, options: LockOptions = {}): Promise<T> {
  const name = `orpo-studio/model/${id}`;
  const { signal, orFail = false } = options;
  signal?.throwIfAborted();
  const busy = () =>
    new StorageError('model-busy', `The model ${id} is being changed in another tab. Try again when it is done.`);
  const locks = globalThis.navigator?.locks;
  if (locks) {
    // Web Locks take either a signal or ifAvailable.
    return locks.request(name, orFail ? { ifAvailable: true } : { signal }, async (lock) => {
      if (!lock) throw busy();
      return work();
    });
  }
  if (orFail && held.has(name)) throw busy();
  const before = held.get(name) ?? Promise.resolve();
  const mine = before.then(() => {
    signal?.throwIfAborted();
    return work();
  });
  const settled = mine.catch(() => undefined);
  held.set(name, settled);
  try {
    return await mine;
  } finally {
    if (held.get(name) === settled) held.delete(name);
  }
}
