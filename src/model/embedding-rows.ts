/**
 * Rows of an embedding that stays in storage. An untied embedding of Llama-3-8B is a gigabyte of which a pack needs a
 * few hundred rows, so it gets no place on the GPU: rows are read as they are wanted, and kept for the next time.
 */
import { type Nf4State, nf4State } from '../formats/bnb-nf4';
import type { Checkpoint } from '../formats/checkpoint';
import { decodeFloats, isFloatDtype } from '../formats/float';
import { dequantizeAbsmax, dequantizeNf4 } from '../formats/nf4-codec';

const CACHE_BYTES = 64 * 2 ** 20;
/** Rows at most this far apart are read in one go. */
const GAP = 4;
const READS_AT_ONCE = 8;

export class EmbeddingRows {
  readonly #checkpoint: Checkpoint;
  readonly #name: string;
  readonly #vocab: number;
  readonly #hidden: number;
  /** Rows as stored; least recently used first. */
  readonly #cache = new Map<number, Uint8Array>();
  #nf4: Promise<{ state: Nf4State; absmax: Float32Array }> | null = null;

  constructor(checkpoint: Checkpoint, name: string, vocab: number, hidden: number) {
    this.#checkpoint = checkpoint;
    this.#name = name;
    this.#vocab = vocab;
    this.#hidden = hidden;
  }

  /**
   * f32 [ids.length, hidden], a row for each id. Throws RangeError for an id beyond the vocabulary, and whatever reading
   * the checkpoint throws.
   */
  async rows(ids: ArrayLike<number>): Promise<Float32Array<ArrayBuffer>> {
    const wanted = [...new Set(Array.from(ids))].sort((a, b) => a - b);
    if (wanted.length && wanted.at(-1)! >= this.#vocab) {
      throw new RangeError(`token ${wanted.at(-1)} is beyond the vocabulary of ${this.#vocab}`);
    }
    const stored = new Map<number, Uint8Array>();
    const missing: number[] = [];
    for (const id of wanted) {
      const row = this.#cache.get(id);
      if (row) stored.set(id, row);
      else missing.push(id);
    }
    const stretches = stretchesOf(missing);
    for (let i = 0; i < stretches.length; i += READS_AT_ONCE) {
      await Promise.all(stretches.slice(i, i + READS_AT_ONCE).map((ids) => this.#read(ids, stored)));
    }
    const decoded = new Map<number, Float32Array>();
    for (const [id, row] of stored) decoded.set(id, await this.#decode(id, row));
    this.#keep(stored);
    const out = new Float32Array(ids.length * this.#hidden);
    for (let i = 0; i < ids.length; i++) out.set(decoded.get(ids[i])!, i * this.#hidden);
    return out;
  }

  async #read(ids: readonly number[], into: Map<number, Uint8Array>): Promise<void> {
    const perRow = this.#checkpoint.tensor(this.#name).byteLength / this.#vocab;
    const first = ids[0];
    const bytes = await this.#checkpoint.read(this.#name, first * perRow, (ids.at(-1)! + 1) * perRow);
    for (const id of ids) into.set(id, bytes.slice((id - first) * perRow, (id - first + 1) * perRow));
  }

  async #decode(id: number, row: Uint8Array): Promise<Float32Array> {
    const { dtype } = this.#checkpoint.tensor(this.#name);
    if (isFloatDtype(dtype)) return decodeFloats(row, dtype);
    this.#nf4 ??= this.#readState();
    const { state, absmax } = await this.#nf4;
    const out = new Float32Array(this.#hidden);
    return dequantizeNf4(row, absmax, state.blocksize, out, { begin: id * this.#hidden, code: state.quantMap });
  }

  async #readState() {
    const state = await nf4State(this.#checkpoint, this.#name);
    return { state, absmax: dequantizeAbsmax(state) };
  }

  #keep(used: ReadonlyMap<number, Uint8Array>): void {
    for (const [id, row] of used) {
      this.#cache.delete(id);
      this.#cache.set(id, row);
    }
    const [sample] = used.values();
    const most = sample ? Math.max(1, Math.floor(CACHE_BYTES / sample.byteLength)) : 0;
    for (const id of this.#cache.keys()) {
      if (this.#cache.size <= most) break;
      this.#cache.delete(id);
    }
  }
}

/** Sorted ids in stretches that are worth one read. */
function stretchesOf(ids: readonly number[]): number[][] {
  const stretches: number[][] = [];
  for (const id of ids) {
    const last = stretches.at(-1);
    if (last && id - last.at(-1)! <= GAP) last.push(id);
    else stretches.push([id]);
  }
  return stretches;
}
