import { promisifyRequest } from 'idb-keyval';
import { room } from '../formats/bytes';
import { asStorageError, corruptChunk, missingChunk, modelDeleted, originUsage, storageUnavailable } from './browser';
import { sha256Hex } from './sha256';
import type { ChunkInfo, ModelRecord, ModelStore, StorageUsage } from './store';

const [RECORDS, CHUNKS, INFO] = ['records', 'chunks', 'chunkInfo'];

/**
 * The bytes of a buffer, moved to another. IndexedDB gives a new buffer for every value, and its requests hold on to those
 * until the browser collects its own garbage, which may be after hundreds of megabytes: so they are emptied at once.
 */
function emptied(data: ArrayBuffer, into: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const bytes = room(data.byteLength, into);
  bytes.set(new Uint8Array(data));
  (data as { transfer?: (byteLength: number) => ArrayBuffer }).transfer?.(0);
  return bytes;
}

/** All keys [id, file, index] of a model, or of one of its files. An array sorts after every number and string. */
const keysOf = (...prefix: string[]): IDBKeyRange => IDBKeyRange.bound(prefix, [...prefix, []]);

/**
 * Models in IndexedDB: records by id; chunks and their hashes by [id, file, index], in separate stores so that a listing
 * reads no chunk. Each write is one transaction: it is there whole, or not at all.
 */
export class IndexedDbModelStore implements ModelStore {
  readonly #name: string;
  #database: Promise<IDBDatabase> | null = null;

  constructor(name = 'orpo-studio-models') {
    this.#name = name;
  }

  list(): Promise<ModelRecord[]> {
    return this.#run([RECORDS], 'readonly', (tx) => promisifyRequest(tx.objectStore(RECORDS).getAll()));
  }

  record(id: string): Promise<ModelRecord | undefined> {
    return this.#run([RECORDS], 'readonly', (tx) => promisifyRequest(tx.objectStore(RECORDS).get(id)));
  }

  putRecord(record: ModelRecord): Promise<void> {
    return this.#run([RECORDS], 'readwrite', async (tx) => {
      tx.objectStore(RECORDS).put(record);
    });
  }

  async chunks(id: string, file: string): Promise<ChunkInfo[]> {
    return this.#run([INFO], 'readonly', (tx) => promisifyRequest(tx.objectStore(INFO).getAll(keysOf(id, file))));
  }

  async writeChunk(id: string, file: string, index: number, bytes: Uint8Array): Promise<void> {
    // A buffer is stored whole. The browser makes its own copy when it is put.
    const whole = bytes.byteLength === bytes.buffer.byteLength;
    const data = whole ? bytes.buffer : bytes.slice().buffer;
    const sha256 = await sha256Hex(new Uint8Array(data as ArrayBuffer));
    const info: ChunkInfo = { index, byteLength: bytes.byteLength, sha256 };
    await this.#run([RECORDS, CHUNKS, INFO], 'readwrite', async (tx) => {
      if ((await promisifyRequest(tx.objectStore(RECORDS).getKey(id))) === undefined) throw modelDeleted(id);
      tx.objectStore(CHUNKS).put(data, [id, file, index]);
      tx.objectStore(INFO).put(info, [id, file, index]);
    });
  }

  async readChunk(
    id: string,
    file: string,
    index: number,
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const key = [id, file, index];
    const [data, info] = await this.#run([CHUNKS, INFO], 'readonly', (tx) =>
      Promise.all([
        promisifyRequest<ArrayBuffer | undefined>(tx.objectStore(CHUNKS).get(key)),
        promisifyRequest<ChunkInfo | undefined>(tx.objectStore(INFO).get(key)),
      ]),
    );
    if (!data || !info) {
      throw missingChunk(id, file, index);
    }
    const bytes = into ? emptied(data, into) : new Uint8Array(data);
    if (bytes.byteLength !== info.byteLength || (await sha256Hex(bytes)) !== info.sha256) {
      throw corruptChunk(id, file, index);
    }
    return bytes;
  }

  deleteFile(id: string, file: string): Promise<void> {
    return this.#run([CHUNKS, INFO], 'readwrite', async (tx) => {
      tx.objectStore(CHUNKS).delete(keysOf(id, file));
      tx.objectStore(INFO).delete(keysOf(id, file));
    });
  }

  deleteModel(id: string): Promise<void> {
    return this.#run([RECORDS, CHUNKS, INFO], 'readwrite', async (tx) => {
      tx.objectStore(RECORDS).delete(id);
      tx.objectStore(CHUNKS).delete(keysOf(id));
      tx.objectStore(INFO).delete(keysOf(id));
    });
  }

  usage(): Promise<StorageUsage> {
    return originUsage();
  }

  /** Closes the connection; the next call opens it again. */
  async close(): Promise<void> {
    const open = this.#database;
    this.#database = null;
    (await open?.catch(() => null))?.close();
  }

  /** Runs `body` in one transaction and resolves when that is committed. An error in `body` rolls it back. */
  async #run<T>(stores: string[], mode: IDBTransactionMode, body: (tx: IDBTransaction) => Promise<T>): Promise<T> {
    const database = await this.#open();
    let tx: IDBTransaction;
    try {
      tx = database.transaction(stores, mode);
    } catch (cause) {
      this.#database = null; // the browser closed the connection; the next call opens another
      throw asStorageError(cause);
    }
    const committed = promisifyRequest(tx);
    committed.catch(() => undefined); // an error in body comes first
    try {
      const result = await body(tx);
      await committed;
      return result;
    } catch (cause) {
      try {
        tx.abort();
      } catch {
        // it has ended already
      }
      throw asStorageError(tx.error ?? cause);
    }
  }

  #open(): Promise<IDBDatabase> {
    this.#database ??= this.#connect().catch((cause: unknown) => {
      this.#database = null;
      throw storageUnavailable('IndexedDB', cause);
    });
    return this.#database;
  }

  async #connect(): Promise<IDBDatabase> {
    const request = indexedDB.open(this.#name, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(RECORDS, { keyPath: 'id' });
      request.result.createObjectStore(CHUNKS);
      request.result.createObjectStore(INFO);
    };
    const database = await promisifyRequest(request);
    const forget = () => {
      this.#database = null;
    };
    database.onclose = forget;
    database.onversionchange = () => {
      forget();
      database.close();
    };
    return database;
  }
}
