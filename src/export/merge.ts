/** Adding an adapter to base weights, some rows at a time. */
import { decodeFloats, encodeFloats, type FloatDtype } from '../formats/float';
import { dequantizeNf4, quantizeNf4 } from '../formats/nf4-codec';
import { type AdapterTensor, loraKey, parseBaseWeightName } from '../formats/peft';

/** Whole rows of a weight as they are stored. Their first value is a multiple of 64 values from the weight's. */
export type RawRows = {
  firstRow: number;
  rows: number;
  columns: number;
  /** Little-endian floats, or NF4 codes, the even element in the high half. */
  bytes: Uint8Array<ArrayBuffer>;
} & (
  | { format: FloatDtype }
  | {
      format: 'NF4';
      /** One per 64 values, from these rows' first value on. */
      absmax: Float32Array;
      /** 16 values. */
      code: Readonly<Float32Array>;
    }
);

export interface BlockCodes {
  /** Two codes a byte, the even element in the high half. */
  codes: Uint8Array<ArrayBuffer>;
  /** One per 64 values. */
  absmax: Float32Array;
}

/**
 * What an export needs done with weights: {@link cpuMerger} here, which is the reference, and `GpuMerger` for the same
 * bytes many times as fast.
 */
export interface Merger {
  /** Whether this base weight, e.g. `model.layers.0.self_attn.q_proj.weight`, has LoRA. */
  has(name: string): boolean;
  /**
   * Rows with the adapter added, where `name` has one, rounded once to `dtype`; with a null name, as they are. The rows'
   * own bytes may be overwritten or handed back.
   */
  merge(name: string | null, rows: RawRows, dtype: FloatDtype): Promise<Uint8Array<ArrayBuffer>>;
  /** NF4 codes and block maxima of rows, to bitsandbytes' bits. Their values must be in the dtype that is quantised. */
  quantize(rows: RawRows): Promise<BlockCodes>;
}

export interface LoraMatrices {
  /** [r, in] */
  a: Float32Array;
  /** [out, r] */
  b: Float32Array;
  r: number;
  /** alpha / r, or alpha / sqrt(r) with rsLoRA. */
  scale: number;
  /** DoRA only: [out]. */
  magnitude?: Float32Array;
}

const fround = Math.fround;

/** The shape of some rows of a weight: how many, how wide, and which of the weight's the first is. */
type RowRange = Pick<RawRows, 'firstRow' | 'rows' | 'columns'>;

/**
 * W + s * (B @ A), as PEFT merges: the product and then the scaling and the sum are rounded to f32. With a magnitude, DoRA:
 * see {@link scaleRows}. Writes into `weight`, the values of these rows, and returns it.
 */
export function mergeLora(weight: Float32Array, range: RowRange, lora: LoraMatrices): Float32Array {
  const { firstRow, rows, columns } = range;
  const { a, b, r, magnitude } = lora;
  const scale = fround(lora.scale);
  if (weight.length !== rows * columns || a.length !== r * columns || b.length < (firstRow + rows) * r) {
    throw new RangeError(
      `LoRA of rank ${r} (A: ${a.length}, B: ${b.length} values) does not fit rows ${firstRow} to ${firstRow + rows} of ${columns} values`,
    );
  }
  const product = new Float64Array(columns);
  for (let o = 0; o < rows; o++) {
    product.fill(0);
    for (let k = 0; k < r; k += 4) addRows(product, a, k, r, b, (firstRow + o) * r);
    const row = weight.subarray(o * columns, (o + 1) * columns);
    for (let i = 0; i < columns; i++) row[i] += fround(scale * fround(product[i]));
  }
  return magnitude ? scaleRows(weight, range, magnitude) : weight;
}

/** DoRA: each row times magnitude / its L2 norm, in place. The squares are summed in f64, as no GPU of WebGPU could. */
export function scaleRows(weight: Float32Array, { firstRow, rows, columns }: RowRange, magnitude: Float32Array) {
  for (let o = 0; o < rows; o++) {
    const row = weight.subarray(o * columns, (o + 1) * columns);
    let squares = 0;
    for (const w of row) squares += w * w;
    const factor = fround(magnitude[firstRow + o] / fround(Math.sqrt(squares)));
    for (let i = 0; i < columns; i++) row[i] *= factor;
  }
  return weight;
}

/** product += the sum of up to four rows k.. of A, each times its value of B; four at a time halve the memory traffic. */
function addRows(product: Float64Array, a: Float32Array, k: number, r: number, b: Float32Array, row: number): void {
  const n = product.length;
  const [b0, b1, b2, b3] = [0, 1, 2, 3].map((j) => (k + j < r ? b[row + k + j] : 0));
  // Rows beyond the last stand for the first, with weight 0.
  const [a0, a1, a2, a3] = [0, 1, 2, 3].map((j) => (k + j < r ? k + j : k) * n);
  for (let i = 0; i < n; i++) product[i] += b0 * a[a0 + i] + b1 * a[a1 + i] + b2 * a[a2 + i] + b3 * a[a3 + i];
}

/** The adapter of a base weight, or null. Tensors in PEFT's keys; `scale` as by {@link import('../formats/peft').loraScale}. */
export function findLora(
  tensors: ReadonlyMap<string, AdapterTensor>,
  scale: number,
  name: string,
): LoraMatrices | null {
  const at = parseBaseWeightName(name);
  if (!at) return null;
  const [a, b, magnitude] = (['A', 'B', 'magnitude'] as const).map((part) => tensors.get(loraKey({ ...at, part })));
  if (!a || !b) return null;
  return { a: a.values, b: b.values, r: a.shape[0], scale, magnitude: magnitude?.values };
}

/** Values of rows as f32. Those of F32 rows may share their memory. */
export function rowValues(rows: RawRows): Float32Array {
  if (rows.format !== 'NF4') return decodeFloats(rows.bytes, rows.format);
  const { bytes, absmax, code } = rows;
  return dequantizeNf4(bytes, absmax, 64, new Float32Array(rows.rows * rows.columns), { code });
}

/** The {@link Merger} of an adapter in PEFT's keys, on the CPU. */
export function cpuMerger(tensors: ReadonlyMap<string, AdapterTensor>, scale: number): Merger {
  return {
    has: (name) => findLora(tensors, scale, name) !== null,
    async merge(name, rows, dtype) {
      const lora = name === null ? null : findLora(tensors, scale, name);
      if (!lora && rows.format === dtype) return rows.bytes;
      const values = rowValues(rows);
      return encodeFloats(lora ? mergeLora(values, rows, lora) : values, dtype) as Uint8Array<ArrayBuffer>;
    },
    async quantize(rows) {
      const values = rowValues(rows);
      const { packed, absmax } = quantizeNf4(values, { doubleQuant: false });
      return { codes: packed, absmax: absmax! };
    },
  };
}
