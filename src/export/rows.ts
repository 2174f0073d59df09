/** Weights of a checkpoint as streams of whole rows, so that no more than a few megabytes of one are in memory. */
import { isNf4, nf4Original, nf4State } from '../formats/bnb-nf4';
import type { Checkpoint } from '../formats/checkpoint';
import { FLOAT_BYTES, type FloatDtype, isFloatDtype } from '../formats/float';
import { dequantizeAbsmax, NF4_CODE, quantizeAbsmax } from '../formats/nf4-codec';
import { elementCount } from '../formats/safetensors';
import { QUANTIZE_DEFAULTS, type QuantizeOptions } from '../model/quantize';
import type { Merger, RawRows } from './merge';

/** Values handled at a time, about: 16 MB as f32. */
const PIECE = 2 ** 22;
const BLOCK = 64;

/** Reads rows of one weight. Opened when a weight's turn comes and dropped after it: an NF4 one holds its block maxima. */
export type RowReader = (firstRow: number, rows: number) => Promise<RawRows>;

/** A weight of floats or NF4, with its shape known before it is read. */
export interface RowSource {
  name: string;
  shape: readonly number[];
  /** Its dtype, or that of an NF4 weight before it was quantised. */
  dtype: FloatDtype;
  open(): Promise<RowReader>;
}

const TORCH_FLOATS: Record<string, FloatDtype> = { float32: 'F32', bfloat16: 'BF16', float16: 'F16' };

/** Rows and columns; a vector is one row. */
export function matrixShape(shape: readonly number[]): { rows: number; columns: number } {
  const columns = shape.at(-1) ?? 1;
  return { rows: columns ? elementCount(shape) / columns : 0, columns };
}

/** Null for a tensor that holds no floats. */
export async function rowSource(checkpoint: Checkpoint, name: string): Promise<RowSource | null> {
  if (isNf4(checkpoint, name)) {
    const { shape, dtype } = await nf4Original(checkpoint, name);
    return { name, shape, dtype: TORCH_FLOATS[dtype] ?? 'BF16', open: () => openNf4(checkpoint, name) };
  }
  const { dtype, shape } = checkpoint.tensor(name);
  if (!isFloatDtype(dtype)) return null;
  const { columns } = matrixShape(shape);
  const width = columns * FLOAT_BYTES[dtype];
  const read: RowReader = async (firstRow, rows) => {
    const bytes = await checkpoint.read(name, firstRow * width, (firstRow + rows) * width);
    return { format: dtype, firstRow, rows, columns, bytes };
  };
  return { name, shape, dtype, open: async () => read };
}

async function openNf4(checkpoint: Checkpoint, name: string): Promise<RowReader> {
  const state = await nf4State(checkpoint, name);
  if (state.blocksize !== BLOCK) throw new TypeError(`${name}: NF4 blocks of ${state.blocksize} cannot be merged.`);
  const { columns } = matrixShape(state.shape);
  const absmax = dequantizeAbsmax(state);
  return async (firstRow, rows) => {
    const [begin, end] = [firstRow * columns, (firstRow + rows) * columns];
    const bytes = await checkpoint.read(name, begin / 2, Math.ceil(end / 2));
    const maxima = absmax.subarray(begin / BLOCK, Math.ceil(end / BLOCK));
    return { format: 'NF4', firstRow, rows, columns, bytes, absmax: maxima, code: state.quantMap };
  };
}

/** Ranges of rows, each but the last a multiple of 64 rows, so that NF4's blocks begin with them, and of `unit`. */
export function* rowRanges(shape: readonly number[], unit = 1): Iterable<[firstRow: number, rows: number]> {
  const { rows, columns } = matrixShape(shape);
  let least = BLOCK; // their least common multiple
  while (least % unit) least += BLOCK;
  const step = Math.max(least, Math.floor(PIECE / Math.max(1, columns) / least) * least);
  for (let first = 0; first < rows; first += step) yield [first, Math.min(step, rows - first)];
}

/** All rows in order; the next are read while the last are in use. */
export async function* readRows(source: RowSource, unit = 1): AsyncIterable<RawRows> {
  const read = await source.open();
  let next: Promise<RawRows> | null = null;
  for (const [first, rows] of rowRanges(source.shape, unit)) {
    const here = next;
    next = read(first, rows);
    next.catch(() => undefined); // it rejects again where it is awaited
    if (here) yield await here;
  }
  if (next) yield await next;
}

/**
 * What training saw of a 16- or 32-bit weight that was quantised to NF4 on load. It is read twice: the block maxima must
 * all be known before they can be quantised in turn.
 */
export function quantizedSource(source: RowSource, merger: Merger, options: QuantizeOptions): RowSource {
  const { doubleQuant, sourceDtype } = { ...QUANTIZE_DEFAULTS, ...options };
  const codes = async (rows: RawRows) =>
    merger.quantize({ ...rows, format: sourceDtype, bytes: await merger.merge(null, rows, sourceDtype) });
  return {
    ...source,
    async open() {
      const read = await source.open();
      const maxima = new Float32Array(Math.ceil(elementCount(source.shape) / BLOCK));
      for await (const rows of readRows(source)) {
        maxima.set((await codes(rows)).absmax, (rows.firstRow * rows.columns) / BLOCK);
      }
      const nested = doubleQuant ? quantizeAbsmax(maxima) : null;
      const absmax = dequantizeAbsmax({ absmax: maxima, nested });
      return async (firstRow, count) => {
        const { columns, ...rows } = await read(firstRow, count);
        const { codes: bytes } = await codes({ columns, ...rows } as RawRows);
        const [begin, end] = [firstRow * columns, (firstRow + count) * columns];
        const part = absmax.subarray(begin / BLOCK, Math.ceil(end / BLOCK));
        return { format: 'NF4', firstRow, rows: count, columns, bytes, absmax: part, code: NF4_CODE };
      };
    },
  };
}
