import { room } from '../formats/bytes';
import { asStorageError, corruptChunk, missingChunk, modelDeleted, originUsage, storageUnavailable } from './browser';
import { withModelLock } from './locks';
import { sha256Hex } from './sha256';
import {
  CHUNK_BYTES,
  type ChunkInfo,
  type ModelRecord,
  type ModelStore,
  StorageError,
  type StorageUsage,
} from './store';
import { readAll, SyncFiles, writeAll } from './sync-files';

const RECORD = 'record.json';
/** Of a chunk in the table beside its file: length (u32, 0 for none) and SHA-256. */
const ENTRY_BYTES = 36;

const encode = encodeURIComponent;
const dataOf = (file: string) => `${encode(file)}.data`;
const tableOf = (file: string) => `${encode(file)}.chunks`;

/**
 * Models in the origin's private file system, for workers: a folder each, with record.json, each file's bytes, and beside
 * them a table of its chunks' lengths and hashes. A chunk is written before its entry, so that one half written is found
 * by its hash.
 */
export class OpfsModelStore implements ModelStore {
  readonly #folder: string;
  readonly #files = new SyncFiles();
  #root: Promise<FileSystemDirectoryHandle> | null = null;

  constructor(folder = 'models') {
    this.#folder = folder;
  }

  /** Why this thread cannot use it; null when it can. */
  async unavailable(): Promise<string | null> {
    if (!globalThis.navigator?.storage?.getDirectory || !SyncFiles.supported) {
      return 'This browser has no private files with fast access.';
    }
    return this.#models().then(
      () => null,
      (error: Error) => error.message,
    );
  }

  list(): Promise<ModelRecord[]> {
    return told(async () => {
      const records: ModelRecord[] = [];
      const root = (await this.#models()) as unknown as { keys(): AsyncIterable<string> };
      const ids: string[] = [];
      for await (const name of root.keys()) ids.push(decodeURIComponent(name));
      for (const id of ids) {
        const record = await this.record(id);
        if (record) records.push(record);
        else await this.#clear(id);
      }
      return records;
    });
  }

  record(id: string): Promise<ModelRecord | undefined> {
    return told(async () => {
      const file = await found(async () => (await (await this.#model(id)).getFileHandle(RECORD)).getFile());
      const text = await file?.text();
      return text ? (JSON.parse(text) as ModelRecord) : undefined; // an empty one was never closed
    });
  }

  putRecord(record: ModelRecord): Promise<void> {
    return told(async () => {
      const model = await (await this.#models()).getDirectoryHandle(encode(record.id), { create: true });
      // What is written takes the file's place when it is closed, and not before.
      const writable = await (await model.getFileHandle(RECORD, { create: true })).createWritable();
      await writable.write(JSON.stringify(record));
      await writable.close();
    });
  }

  chunks(id: string, file: string): Promise<ChunkInfo[]> {
    return told(async () => {
      const table = await found(async () => (await (await this.#model(id)).getFileHandle(tableOf(file))).getFile());
      const bytes = table ? new Uint8Array(await table.arrayBuffer()) : new Uint8Array();
      const chunks: ChunkInfo[] = [];
      for (let index = 0; (index + 1) * ENTRY_BYTES <= bytes.length; index++) {
        const entry = readEntry(bytes, index * ENTRY_BYTES);
        if (entry) chunks.push({ index, ...entry });
      }
      return chunks;
    });
  }

  writeChunk(id: string, file: string, index: number, bytes: Uint8Array): Promise<void> {
    return told(async () => {
      const sha256 = await sha256Hex(bytes as Uint8Array<ArrayBuffer>);
      const written = await found(async () => {
        const model = await this.#model(id);
        await model.getFileHandle(RECORD);
        const use = (name: string, content: Uint8Array, at: number) =>
          this.#files.use(
            `${id}/${name}`,
            () => model.getFileHandle(name, { create: true }),
            (access) => writeAll(access, content, at),
          );
        await use(dataOf(file), bytes, index * CHUNK_BYTES);
        await use(tableOf(file), entryOf(bytes.byteLength, sha256), index * ENTRY_BYTES);
        return true;
      });
      if (!written) throw modelDeleted(id);
    });
  }

  readChunk(id: string, file: string, index: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    return told(async () => {
      const read = async (name: string, bytes: Uint8Array<ArrayBuffer>, at: number) => {
        const find = async () => (await this.#model(id)).getFileHandle(name);
        const count = await found(() => this.#files.use(`${id}/${name}`, find, (access) => readAll(access, bytes, at)));
        return bytes.subarray(0, count ?? 0);
      };
      const entry = readEntry(await read(tableOf(file), new Uint8Array(ENTRY_BYTES), index * ENTRY_BYTES), 0);
      if (!entry) throw missingChunk(id, file, index);
      const bytes = await read(dataOf(file), room(entry.byteLength, into), index * CHUNK_BYTES);
      if (bytes.byteLength !== entry.byteLength || (await sha256Hex(bytes)) !== entry.sha256) {
        throw corruptChunk(id, file, index);
      }
      return bytes;
    });
  }

  deleteFile(id: string, file: string): Promise<void> {
    return told(async () => {
      await this.#files.close(`${id}/${encode(file)}.`);
      for (const name of [tableOf(file), dataOf(file)]) {
        await found(async () => (await this.#model(id)).removeEntry(name));
      }
    });
  }

  deleteModel(id: string): Promise<void> {
    return told(async () => {
      // Without its record a folder is no model; what another tab still reads of it is cleared away later.
      await found(async () => (await this.#model(id)).removeEntry(RECORD));
      await this.#remove(id);
    });
  }

  usage(): Promise<StorageUsage> {
    return originUsage();
  }

  /** Closes what is open. */
  close(): Promise<void> {
    return this.#files.close('');
  }

  /** Removes what is left of a model that was deleted, or whose first record was never written; not one in work. */
  async #clear(id: string): Promise<void> {
    const clear = async () => {
      if (!(await this.record(id))) await this.#remove(id);
    };
    await withModelLock(id, clear, { orFail: true }).catch(() => undefined);
  }

  async #remove(id: string): Promise<void> {
    await this.#files.close(`${id}/`);
    try {
      await found(async () => (await this.#models()).removeEntry(encode(id), { recursive: true }));
    } catch (error) {
      if ((error as Error).name !== 'NoModificationAllowedError') throw error; // another tab has it open
    }
  }

  async #model(id: string): Promise<FileSystemDirectoryHandle> {
    return (await this.#models()).getDirectoryHandle(encode(id));
  }

  #models(): Promise<FileSystemDirectoryHandle> {
    this.#root ??= navigator.storage
      .getDirectory()
      .then((root) => root.getDirectoryHandle(this.#folder, { create: true }))
      .catch((cause: unknown) => {
        this.#root = null;
        throw storageUnavailable('private files', cause);
      });
    return this.#root;
  }
}

/** What `work` gives; undefined where a file or folder is not there. */
async function found<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if ((error as Error).name === 'NotFoundError') return undefined;
    throw error;
  }
}

/** Tells the browser's errors as ours. */
async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if ((cause as Error).name !== 'NoModificationAllowedError') throw asStorageError(cause);
    throw new StorageError('model-busy', 'This model is in use in another tab. Try again when it is done there.', {
      cause,
    });
  }
}

function entryOf(byteLength: number, sha256: string): Uint8Array {
  const entry = new Uint8Array(ENTRY_BYTES);
  new DataView(entry.buffer).setUint32(0, byteLength, true);
  for (let i = 0; i < 32; i++) entry[4 + i] = Number.parseInt(sha256.slice(2 * i, 2 * i + 2), 16);
  return entry;
}

/** Null where none was written. */
function readEntry(table: Uint8Array, at: number): { byteLength: number; sha256: string } | null {
  if (table.length < at + ENTRY_BYTES) return null;
  const byteLength = new DataView(table.buffer, table.byteOffset + at, 4).getUint32(0, true);
  if (byteLength === 0) return null;
  const sha256 = Array.from(table.subarray(at + 4, at + ENTRY_BYTES), (b) => b.toString(16).padStart(2, '0')).join('');
  return { byteLength, sha256 };
}
