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
  return {
    names: record.files.map((file) => file.name),
    async open(name) {
      const file = record.files.find((f) => f.name === name);
      if (!file) throw new StorageError('missing-file', `The model ${id} has no file ${name}.`);
      return new StoredSource(store, id, name, file.size, repair);
    },
  };
}

class StoredSource implements ByteSource {
  readonly size: number;
  readonly #readChunk: (index: number) => Promise<Uint8Array>;
  /** The chunk last asked for and, while chunks are asked for in a row, the next one: on its way while this is used. */
  readonly #held = new Map<number, Promise<Uint8Array>>();

  constructor(store: ModelStore, id: string, file: string, size: number, repair: RepairChunk | undefined) {
    this.size = size;
    this.#readChunk = async (index) => {
      try {
        return await store.readChunk(id, file, index);
      } catch (error) {
        const { code } = error as StorageError;
        if (!repair || (code !== 'missing-chunk' && code !== 'corrupt-chunk')) throw error;
        await repair(file, index);
        return store.readChunk(id, file, index);
      }
    };
  }

  async read(begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    if (begin < 0 || begin > end || end > this.size) {
      throw new RangeError(`bytes ${begin} to ${end} lie outside a file of ${this.size}`);
    }
    const out = new Uint8Array(end - begin);
    for (let at = begin; at < end; ) {
      const index = Math.floor(at / CHUNK_BYTES);
      const from = at - index * CHUNK_BYTES;
      const chunk = await this.#chunk(index);
      const part = chunk.subarray(from, Math.min(chunk.length, from + end - at));
      out.set(part, at - begin);
      at += part.length;
      if (part.length === 0) throw new StorageError('corrupt-chunk', `Part ${index} is shorter than it should be.`);
    }
    return out;
  }

  #chunk(index: number): Promise<Uint8Array> {
    const inRow = this.#held.has(index - 1);
    const bytes = this.#hold(index);
    for (const held of this.#held.keys()) if (held !== index && held !== index + 1) this.#held.delete(held);
    if (inRow && index + 1 < chunkCount(this.size)) this.#hold(index + 1);
    return bytes;
  }

  #hold(index: number): Promise<Uint8Array> {
    const held = this.#held.get(index);
    if (held) return held;
    const bytes = this.#readChunk(index);
    this.#held.set(index, bytes);
    bytes.catch(() => {
      if (this.#held.get(index) === bytes) this.#held.delete(index);
    });
    return bytes;
  }
}
