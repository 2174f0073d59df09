import type { ByteSource, ModelFiles } from '../formats/bytes';
import { CHUNK_BYTES, chunkCount, isComplete, type ModelStore, StorageError } from './store';

/** Puts a lost or changed chunk right, e.g. by fetching it again. */
export type RepairChunk = (file: string, index: number) => Promise<void>;

/**
 * The files of a stored model. Only the chunks that a range touches are read, and one ahead where they are read in a row;
 * each is checked. The last one is kept, as small tensors lie side by side. Throws {@link StorageError} `missing-file` unless the model is complete.
 */
export async function openStoredModel(store: ModelStore, id: string, repair?: RepairChunk): Promise<ModelFiles> {
  const record = await store.record(id);
  if (!isComplete(record)) {
    throw new StorageError('missing-file', `The model ${id} is not wholly in storage. Load it first.`);
  }
  void store.noteUse?.(id);
  const chunks = new HeldChunks(async (file, index) => {
    try {
      return await store.readChunk(id, file, index);
    } catch (error) {
      const { code } = error as StorageError;
      if (!repair || (code !== 'missing-chunk' && code !== 'corrupt-chunk')) throw error;
      await repair(file, index);
      return store.readChunk(id, file, index);
    }
  });
  return {
    names: record.files.map((file) => file.name),
    async open(name) {
      const file = record.files.find((f) => f.name === name);
      if (!file) throw new StorageError('missing-file', `The model ${id} has no file ${name}.`);
      return storedSource(name, file.size, chunks);
    },
  };
}

/** Chunks in memory or on their way, of all files of a model: few, so that many shards take no more than one. */
const HELD = 4;

class HeldChunks {
  readonly #read: (file: string, index: number) => Promise<Uint8Array>;
  /** Least recently used first. */
  readonly #held = new Map<string, Promise<Uint8Array>>();

  constructor(read: (file: string, index: number) => Promise<Uint8Array>) {
    this.#read = read;
  }

  /** The chunk; and when the one before it is at hand, as when a file is read in a row, the next is fetched ahead. */
  get(file: string, index: number, count: number): Promise<Uint8Array> {
    const inRow = this.#held.has(`${index - 1} ${file}`);
    const bytes = this.#hold(file, index);
    if (inRow && index + 1 < count) this.#hold(file, index + 1);
    return bytes;
  }

  #hold(file: string, index: number): Promise<Uint8Array> {
    const key = `${index} ${file}`;
    const bytes = this.#held.get(key) ?? this.#read(file, index);
    this.#held.delete(key);
    this.#held.set(key, bytes);
    bytes.catch(() => {
      if (this.#held.get(key) === bytes) this.#held.delete(key);
    });
    for (const old of this.#held.keys()) {
      if (this.#held.size <= HELD) break;
      this.#held.delete(old);
    }
    return bytes;
  }
}

function storedSource(file: string, size: number, chunks: HeldChunks): ByteSource {
  return {
    size,
    async read(begin, end) {
      if (begin < 0 || begin > end || end > size) {
        throw new RangeError(`bytes ${begin} to ${end} lie outside a file of ${size}`);
      }
      const out = new Uint8Array(end - begin);
      for (let at = begin; at < end; ) {
        const index = Math.floor(at / CHUNK_BYTES);
        const from = at - index * CHUNK_BYTES;
        const chunk = await chunks.get(file, index, chunkCount(size));
        const part = chunk.subarray(from, Math.min(chunk.length, from + end - at));
        out.set(part, at - begin);
        at += part.length;
        if (part.length === 0) throw new StorageError('corrupt-chunk', `Part ${index} is shorter than it should be.`);
      }
      return out;
    },
  };
}
