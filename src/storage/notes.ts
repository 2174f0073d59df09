/** Small things remembered about storage itself: how fast each backend is, when a model was last used. */
import { createStore, get, set, type UseStore, update } from 'idb-keyval';

/** A browser that keeps nothing only forgets: no failure here stops anybody. */
export class StorageNotes {
  readonly #name: string;
  #store: UseStore | null = null;

  constructor(name = 'orpo-studio-notes') {
    this.#name = name;
  }

  async read<T>(key: string): Promise<T | undefined> {
    return get<T>(key, this.#open()).catch(() => undefined);
  }

  async write(key: string, value: unknown): Promise<void> {
    await set(key, value, this.#open()).catch(() => undefined);
  }

  /** Milliseconds since 1970 by id. */
  async lastUses(): Promise<Record<string, number>> {
    return (await this.read<Record<string, number>>('last-uses')) ?? {};
  }

  async used(id: string): Promise<void> {
    const now = (before: Record<string, number> = {}) => ({ ...before, [id]: Date.now() });
    await update<Record<string, number>>('last-uses', now, this.#open()).catch(() => undefined);
  }

  #open(): UseStore {
    this.#store ??= createStore(this.#name, 'notes');
    return this.#store;
  }
}
