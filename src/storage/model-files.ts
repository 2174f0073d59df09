import { type ByteSource, type ModelFiles, room } from '../formats/bytes';
import { CHUNK_BYTES, chunkCount, chunkLength, isComplete, type ModelStore, StorageError } from './store';

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
  const chunks = new HeldChunks(async (file, index, into) => {
    try {
      return await store.readChunk(id, file, index, into);
    } catch (error) {
      const { code } = error as StorageError;
      if (!repair || (code !== 'missing-chunk' && code !== 'corrupt-chunk')) throw error;
      await repair(file, index);
      return store.readChunk(id, file, index, into);
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

type ReadChunk = (file: string, index: number, into: Uint8Array<ArrayBuffer>) => Promise<Uint8Array>;

interface Held {
  buffer: Uint8Array<ArrayBuffer>;
  bytes: Promise<Uint8Array>;
  users: number;
  /** No longer held: the memory is free for another once nobody uses it. */
  left: boolean;
}

/** Keeps the chunks that were used last. Their memory is used again: reading a whole model takes that of a few chunks. */
class HeldChunks {
  readonly #read: ReadChunk;
  /** Least recently used first. */
  readonly #held = new Map<string, Held>();
  readonly #free: Uint8Array<ArrayBuffer>[] = [];

  constructor(read: ReadChunk) {
    this.#read = read;
  }

  /**
   * What `work` makes of the bytes of a chunk (of a file of `size` bytes), which it must not keep. When the chunk before it is at hand, as when a file is
   * read in a row, the next is fetched ahead.
   */
  async use<T>(file: string, index: number, size: number, work: (bytes: Uint8Array) => T): Promise<T> {
    const inRow = this.#held.has(`${index - 1} ${file}`);
    const held = this.#hold(file, index, size);
    held.users++;
    if (inRow && index + 1 < chunkCount(size)) this.#hold(file, index + 1, size);
    try {
      return work(await held.bytes);
    } finally {
      held.users--;
      this.#release(held);
    }
  }

  #hold(file: string, index: number, size: number): Held {
    const key = `${index} ${file}`;
    const held = this.#held.get(key) ?? this.#start(file, index, size, key);
    this.#held.delete(key);
    this.#held.set(key, held);
    for (const old of this.#held.keys()) {
      if (this.#held.size <= HELD) break;
      this.#drop(old);
    }
    return held;
  }

  #start(file: string, index: number, size: number, key: string): Held {
    const length = chunkLength(size, index);
    const spare = this.#free.pop();
    const buffer = spare && spare.length >= length ? spare : new Uint8Array(length);
    const bytes = this.#read(file, index, buffer);
    const held: Held = { buffer, bytes, users: 1, left: false }; // the read itself is a user
    const done = () => {
      held.users--;
      this.#release(held);
    };
    bytes.then(done, () => {
      if (this.#held.get(key) === held) this.#drop(key);
      done();
    });
    return held;
  }

  #drop(key: string): void {
    const held = this.#held.get(key)!;
    this.#held.delete(key);
    held.left = true;
    this.#release(held);
  }

  #release(held: Held): void {
    if (!held.left || held.users > 0) return;
    this.#free.push(held.buffer);
  }
}

function storedSource(file: string, size: number, chunks: HeldChunks): ByteSource {
  return {
    size,
    async read(begin, end, into) {
      if (begin < 0 || begin > end || end > size) {
        throw new RangeError(`bytes ${begin} to ${end} lie outside a file of ${size}`);
      }
      const out = room(end - begin, into);
      for (let at = begin; at < end; ) {
        const index = Math.floor(at / CHUNK_BYTES);
        const from = at - index * CHUNK_BYTES;
        const copied = await chunks.use(file, index, size, (chunk) => {
          const part = chunk.subarray(from, Math.min(chunk.length, from + end - at));
          out.set(part, at - begin);
          return part.length;
        });
        at += copied;
        if (copied === 0) throw new StorageError('corrupt-chunk', `Part ${index} is shorter than it should be.`);
      }
      return out;
    },
  };
}
