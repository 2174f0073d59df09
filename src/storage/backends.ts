import { StorageNotes } from './notes';
import { isProbe, measureStore, type Speed } from './probe';
import type { ChunkInfo, ModelRecord, ModelStore, StorageUsage } from './store';

export type Backend = 'indexeddb' | 'opfs';

export interface BackendState {
  backend: Backend;
  /** Null when it can be used; otherwise why not. */
  unavailable: string | null;
  speed: Speed | null;
  chosen: boolean;
}

/** A store, and why it cannot be used here (null when it can). */
export interface BackendStore {
  store: ModelStore;
  unavailable(): Promise<string | null>;
}

/** Models at least so large are worth a measurement before the first of them is stored. */
const WORTH_MEASURING = 64e6;
/** IndexedDB stays where another backend is less than this share faster. */
const MARGIN = 0.1;
const SPEEDS = 'speeds';

type Speeds = Partial<Record<Backend, Speed>>;

/**
 * All backends as one store. A model stays where it was stored first; new ones go to the faster backend, once that has
 * been measured, and to IndexedDB until then.
 */
export class BackendStores implements ModelStore {
  readonly #backends: ReadonlyMap<Backend, BackendStore>;
  readonly #notes: StorageNotes;
  /** Where models were last found. */
  readonly #places = new Map<string, ModelStore>();

  constructor(backends: Partial<Record<Backend, BackendStore>>, notes = new StorageNotes()) {
    this.#backends = new Map(Object.entries(backends) as [Backend, BackendStore][]);
    this.#notes = notes;
  }

  async list(): Promise<ModelRecord[]> {
    return (await this.placed()).map(({ record }) => record);
  }

  /** Every model with the backend that holds it. */
  async placed(): Promise<{ record: ModelRecord; backend: Backend }[]> {
    const all: { record: ModelRecord; backend: Backend }[] = [];
    for (const [backend, store] of await this.#usable()) {
      for (const record of await store.list()) if (!isProbe(record.id)) all.push({ record, backend });
    }
    return all;
  }

  async record(id: string): Promise<ModelRecord | undefined> {
    for (const [, store] of await this.#usable()) {
      const record = await store.record(id);
      if (record) {
        this.#places.set(id, store);
        return record;
      }
    }
    this.#places.delete(id);
    return undefined;
  }

  async putRecord(record: ModelRecord): Promise<void> {
    const store = (await this.#holder(record.id)) ?? (await this.#storeForNew(record));
    await store.putRecord(record);
    this.#places.set(record.id, store);
  }

  async chunks(id: string, file: string): Promise<ChunkInfo[]> {
    return (await this.#holder(id))?.chunks(id, file) ?? [];
  }

  async writeChunk(id: string, file: string, index: number, bytes: Uint8Array): Promise<void> {
    await (await this.#placeOf(id)).writeChunk(id, file, index, bytes);
  }

  async readChunk(
    id: string,
    file: string,
    index: number,
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const place = await this.#placeOf(id);
    try {
      return await place.readChunk(id, file, index, into);
    } catch (error) {
      // Another tab may have deleted the model and stored it anew, elsewhere.
      const now = await this.#holder(id);
      if (!now || now === place) throw error;
      return now.readChunk(id, file, index, into);
    }
  }

  async deleteFile(id: string, file: string): Promise<void> {
    await (await this.#holder(id))?.deleteFile(id, file);
  }

  async deleteModel(id: string): Promise<void> {
    for (const [, store] of await this.#usable()) if (await store.record(id)) await store.deleteModel(id);
    this.#places.delete(id);
  }

  usage(): Promise<StorageUsage> {
    return [...this.#backends.values()][0].store.usage();
  }

  noteUse(id: string): Promise<void> {
    return this.#notes.used(id);
  }

  lastUses(): Promise<Record<string, number>> {
    return this.#notes.lastUses();
  }

  async states(): Promise<BackendState[]> {
    const speeds = await this.#speeds();
    const chosen = this.#fastest(await this.#usable(), speeds);
    const states: BackendState[] = [];
    for (const [backend, { unavailable }] of this.#backends) {
      const why = await unavailable();
      states.push({ backend, unavailable: why, speed: speeds[backend] ?? null, chosen: backend === chosen });
    }
    return states;
  }

  /** Measures every usable backend and remembers the speeds. Rejects when one that seemed usable fails. */
  async measure(): Promise<void> {
    const measured: Speeds = {};
    for (const [backend, store] of await this.#usable()) measured[backend] = await measureStore(store);
    await this.#notes.write(SPEEDS, measured);
  }

  async #usable(): Promise<Map<Backend, ModelStore>> {
    const usable = new Map<Backend, ModelStore>();
    for (const [backend, { store, unavailable }] of this.#backends) {
      if ((await unavailable()) === null) usable.set(backend, store);
    }
    // Where none is, the first says why.
    const [first] = this.#backends;
    return usable.size > 0 ? usable : new Map([[first[0], first[1].store]]);
  }

  async #speeds(): Promise<Speeds> {
    return (await this.#notes.read<Speeds>(SPEEDS)) ?? {};
  }

  /** By the time to write and read the same number of bytes. The first usable one where not all were measured. */
  #fastest(usable: ReadonlyMap<Backend, ModelStore>, speeds: Speeds): Backend {
    const seconds = (backend: Backend) => {
      const speed = speeds[backend];
      return speed ? 1 / speed.readBytesPerSecond + 1 / speed.writeBytesPerSecond : Number.POSITIVE_INFINITY;
    };
    const [first, ...others] = usable.keys();
    return others.reduce((best, other) => (seconds(other) < seconds(best) * (1 - MARGIN) ? other : best), first);
  }

  async #storeForNew(record: ModelRecord): Promise<ModelStore> {
    const usable = await this.#usable();
    const bytes = record.files.reduce((sum, { size }) => sum + size, 0);
    const speeds = await this.#speeds();
    if (usable.size > 1 && bytes >= WORTH_MEASURING && [...usable.keys()].some((backend) => !speeds[backend])) {
      await this.measure().catch(() => undefined); // a model that can be stored at all goes to the default then
    }
    return usable.get(this.#fastest(usable, await this.#speeds()))!;
  }

  /** The backend with this model's record. */
  async #holder(id: string): Promise<ModelStore | undefined> {
    await this.record(id);
    return this.#places.get(id);
  }

  /** The same from memory, or the first where there is none: it says what is missing. */
  async #placeOf(id: string): Promise<ModelStore> {
    return this.#places.get(id) ?? (await this.#holder(id)) ?? [...(await this.#usable()).values()][0];
  }
}
