/**
 * A model's files with more rows in its embedding and head, without a copy of its weights: the files that hold the two
 * tensors get a new header, and the new rows are put behind the old ones as the file is read.
 *
 * A new row is the mean of all old ones, as transformers' resize_token_embeddings has it (mean_resizing; it adds noise of
 * 1e-9 of their covariance, which is left out).
 */
import { type ByteSource, type ModelFiles, memorySource, readText, room } from './bytes';
import { Checkpoint, CheckpointError } from './checkpoint';
import { decodeFloats, encodeFloats, FLOAT_BYTES, isFloatDtype } from './float';
import { editObject } from './json-text';
import { parseSafetensorsHeader, serializeSafetensorsHeader } from './safetensors';

export const EMBEDDING = 'model.embed_tokens.weight';
export const HEAD = 'lm_head.weight';

/** Bytes read at a time. */
const PIECE_BYTES = 8 * 2 ** 20;

export interface ResizeOptions {
  /** Rows wanted; nothing changes when the model has as many already. */
  vocabSize: number;
  /** Further changes of config.json. */
  config?: Readonly<Record<string, unknown>>;
  onProgress?: (bytes: number, totalBytes: number) => void;
  signal?: AbortSignal;
}

/** A source that is several others end to end. */
export function concatSources(parts: readonly ByteSource[]): ByteSource {
  const ends: number[] = [];
  for (const part of parts) ends.push((ends.at(-1) ?? 0) + part.size);
  const size = ends.at(-1) ?? 0;
  return {
    size,
    async read(begin, end, into) {
      if (begin < 0 || begin > end || end > size) throw new RangeError(`bytes ${begin} to ${end} lie outside ${size}`);
      const whole = ends.findIndex((stop, i) => end <= stop && begin >= stop - parts[i].size);
      if (whole >= 0) {
        const start = ends[whole] - parts[whole].size;
        return parts[whole].read(begin - start, end - start, into);
      }
      const out = room(end - begin, into);
      for (let i = 0; i < parts.length; i++) {
        const start = ends[i] - parts[i].size;
        const [from, to] = [Math.max(begin, start), Math.min(end, ends[i])];
        if (from < to) out.set(await parts[i].read(from - start, to - start), from - begin);
      }
      return out;
    },
  };
}

const slice = (source: ByteSource, begin: number, end: number): ByteSource => ({
  size: end - begin,
  read: (from, to, into) => source.read(begin + from, begin + to, into),
});

/**
 * The files with an embedding and head of `vocabSize` rows, and with config.json's vocab_size and `config` changed. Reads
 * both tensors once. Throws {@link CheckpointError} `wrong-shape` when one of them is not stored as plain floats.
 */
export async function withVocabSize(files: ModelFiles, options: ResizeOptions): Promise<ModelFiles> {
  const checkpoint = await Checkpoint.open(files);
  const config = await readText(files, 'config.json');
  const grown = [EMBEDDING, HEAD].filter((name) => checkpoint.has(name));
  const before = Number(checkpoint.config.vocab_size);
  const vocabSize = Math.max(before, options.vocabSize);
  const changed = new Map<string, ByteSource>();
  const changes = { ...options.config, vocab_size: vocabSize };
  changed.set('config.json', memorySource(new TextEncoder().encode(editObject(config, changes))));
  if (vocabSize > before) {
    const rows = await newRows(checkpoint, grown, vocabSize - before, options);
    for (const file of new Set(grown.map((name) => checkpoint.tensor(name).file))) {
      changed.set(file, await grownFile(await files.open(file), file, rows));
    }
  }
  return {
    names: files.names,
    open: async (name) => changed.get(name) ?? files.open(name),
  };
}

/** The bytes of the new rows of each tensor. */
async function newRows(checkpoint: Checkpoint, names: readonly string[], count: number, options: ResizeOptions) {
  const rows = new Map<string, Uint8Array>();
  const total = names.reduce((sum, name) => sum + checkpoint.tensor(name).byteLength, 0);
  let done = 0;
  for (const name of names) {
    const { dtype, shape, byteLength, file } = checkpoint.tensor(name);
    if (!isFloatDtype(dtype) || shape.length !== 2) {
      throw new CheckpointError(
        'wrong-shape',
        `${name} is stored as ${dtype}, which cannot be given more rows. Use reserved tokens instead of new ones.`,
        { tensor: name, file },
      );
    }
    const width = shape[1];
    const rowBytes = width * FLOAT_BYTES[dtype];
    const sums = new Float64Array(width);
    const piece = Math.max(1, Math.floor(PIECE_BYTES / rowBytes)) * rowBytes;
    for (let at = 0; at < byteLength; at += piece) {
      options.signal?.throwIfAborted();
      const end = Math.min(byteLength, at + piece);
      const values = decodeFloats(await checkpoint.read(name, at, end), dtype);
      for (let row = 0; row < values.length; row += width) {
        for (let i = 0; i < width; i++) sums[i] += values[row + i];
      }
      done += end - at;
      options.onProgress?.(done, total);
    }
    const mean = encodeFloats(
      Float32Array.from(sums, (sum) => sum / shape[0]),
      dtype,
    );
    const bytes = new Uint8Array(count * rowBytes);
    for (let i = 0; i < count; i++) bytes.set(mean, i * rowBytes);
    rows.set(name, bytes);
  }
  return rows;
}

/** A safetensors file whose tensors named in `rows` go on with those bytes. */
async function grownFile(source: ByteSource, file: string, rows: ReadonlyMap<string, Uint8Array>): Promise<ByteSource> {
  const { tensors, metadata } = await parseSafetensorsHeader(source, file);
  const specs = [...tensors.values()].map(({ name, dtype, shape, begin, end }) => {
    const more = rows.get(name);
    const added = more ? (more.byteLength / (end - begin)) * shape[0] : 0;
    return { name, dtype, shape: more ? [shape[0] + Math.round(added), ...shape.slice(1)] : shape };
  });
  const { header, tensors: laid } = serializeSafetensorsHeader(specs, metadata);
  const parts: ByteSource[] = [memorySource(header)];
  for (const { name } of laid) {
    const { begin, end } = tensors.get(name)!;
    parts.push(slice(source, begin, end));
    const more = rows.get(name);
    if (more) parts.push(memorySource(more));
  }
  return concatSources(parts);
}
