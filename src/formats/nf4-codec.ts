/**
 * NF4 with double quantisation in plain TypeScript: the CPU reference for the kernels, and what exports use.
 * Every operation is rounded to f32 as bitsandbytes does (4-bit: `kgetQuantMap`/`dQuantizeNF4`; 8-bit: `dQuantize`
 * over the signed dynamic map), so quantising gives its bytes.
 */

const fround = Math.fround;

/** Index to value: quantiles of a normal distribution, scaled to [-1, 1]. */
export const NF4_CODE: Readonly<Float32Array> = Float32Array.of(
  -1.0,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0.0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1.0,
);

/** A value's code is the number of thresholds strictly below it: the f32 midpoints of neighbouring codes. */
export const NF4_THRESHOLDS: Readonly<Float32Array> = Float32Array.from({ length: 15 }, (_, i) =>
  fround(fround(NF4_CODE[i] + NF4_CODE[i + 1]) / 2),
);

/**
 * bitsandbytes' `create_dynamic_map(signed, 7, 8)`, sorted, 256 values: for each decade 10^(i-6), the midpoints of an
 * even grid on [0.1, 1]; with both signs when signed; plus 0 and 1. The grid is torch.linspace's: from both ends towards
 * the middle, each point one fused multiply-add.
 */
export function dynamicMap(signed: boolean): Float32Array {
  const values = [0, 1];
  for (let i = 0; i < 7; i++) {
    const cells = signed ? 2 ** i : 2 ** (i + 1);
    const step = fround(fround(1 - fround(0.1)) / cells);
    const grid = Array.from({ length: cells + 1 }, (_, k) =>
      fround(k < Math.floor((cells + 1) / 2) ? fround(0.1) + step * k : 1 - step * (cells - k)),
    );
    for (let k = 0; k < cells; k++) {
      const x = fround(fround(10 ** (i - 6)) * fround(fround(grid[k] + grid[k + 1]) / 2));
      values.push(x);
      if (signed) values.push(-x);
    }
  }
  return Float32Array.from(values).sort();
}

/** Second-level quantisation of the block maxima. */
export interface NestedAbsmax {
  /** One code into `map` per block of weights. */
  codes: Uint8Array;
  /** Blocks of weights per second-level block; 256. */
  blocksize: number;
  /** One f32 per second-level block. */
  absmax: Float32Array;
  /** 256 values. */
  map: Float32Array;
  /** The mean that was subtracted. */
  offset: number;
}

export interface Nf4Quantized {
  /** Two codes per byte, the even element in the high nibble. */
  packed: Uint8Array<ArrayBuffer>;
  blocksize: number;
  /** One f32 per block; null when double-quantised. */
  absmax: Float32Array | null;
  nested: NestedAbsmax | null;
}

/** max |x| per block of `blocksize` values (the last may be short). */
export function blockAbsmax(values: Float32Array, blocksize: number): Float32Array {
  const out = new Float32Array(Math.ceil(values.length / blocksize));
  for (let b = 0; b < out.length; b++) {
    const end = Math.min(values.length, (b + 1) * blocksize);
    let max = 0;
    for (let i = b * blocksize; i < end; i++) max = Math.max(max, Math.abs(values[i]));
    out[b] = max;
  }
  return out;
}

/**
 * Quantises weights, flattened row-major; their number must be even. They must already be rounded to the source's
 * dtype (bitsandbytes sees bf16 or f16). An all-zero block has absmax 0 and codes 0.
 */
export function quantizeNf4(values: Float32Array, { blocksize = 64, doubleQuant = true } = {}): Nf4Quantized {
  const absmax = blockAbsmax(values, blocksize);
  const packed = new Uint8Array(values.length / 2);
  for (let b = 0; b < absmax.length; b++) {
    const inverse = fround(1 / absmax[b]);
    const end = Math.min(values.length, (b + 1) * blocksize);
    for (let i = b * blocksize; i < end; i++) {
      const x = fround(values[i] * inverse);
      let code = 0; // stays 0 for NaN (0 times infinity)
      for (let bit = 8; bit; bit >>= 1) if (x > NF4_THRESHOLDS[code + bit - 1]) code += bit;
      packed[i >> 1] |= i & 1 ? code : code << 4;
    }
  }
  if (!doubleQuant) return { packed, blocksize, absmax, nested: null };
  return { packed, blocksize, absmax: null, nested: quantizeAbsmax(absmax) };
}

/**
 * Quantises block maxima to 8 bits around their mean. The mean is the f32 sum times the f32 reciprocal of the count, as
 * torch computes it on CUDA (not the quotient). The sum here is exact before its one rounding; where torch's partial sums
 * round (more than about 10,000 blocks, or maxima many octaves apart), its order is its device's own and its offset may
 * differ in the last bit, and with it, rarely, a code whose value lies that close to a midpoint.
 */
export function quantizeAbsmax(absmax: Float32Array, blocksize = 256): NestedAbsmax {
  let sum = 0;
  for (const x of absmax) sum += x;
  const offset = fround(fround(sum) * fround(1 / absmax.length));
  const centred = absmax.map((x) => fround(x - offset));
  const absmax2 = blockAbsmax(centred, blocksize);
  const map = dynamicMap(true);
  const codes = new Uint8Array(absmax.length);
  for (let b = 0; b < absmax2.length; b++) {
    const inverse = fround(1 / absmax2[b]);
    const end = Math.min(codes.length, (b + 1) * blocksize);
    for (let i = b * blocksize; i < end; i++) codes[i] = nearestInMap(map, fround(centred[i] * inverse));
  }
  return { codes, blocksize, absmax: absmax2, map, offset };
}

/**
 * Index of the nearest of 256 sorted values, by bitsandbytes' pivot search: seven halvings from 127, then a comparison
 * with the midpoint to the neighbour. NaN gives 0.
 */
export function nearestInMap(map: Readonly<Float32Array>, x: number): number {
  let pivot = 127;
  let [low, high] = [0, 255];
  for (let step = 64; step > 0; step >>= 1) {
    if (x > map[pivot]) {
      low = pivot;
      pivot += step;
    } else {
      high = pivot;
      pivot -= step;
    }
  }
  const value = map[pivot];
  if (x > value) return x > fround(fround(map[high] + value) * 0.5) ? high : pivot;
  return x < fround(fround(map[low] + value) * 0.5) ? low : pivot;
}

/** Block maxima as f32: map[code] * absmax2 + offset, each operation rounded to f32. */
export function dequantizeAbsmax(state: { absmax: Float32Array | null; nested: NestedAbsmax | null }): Float32Array {
  const { absmax, nested } = state;
  if (!nested) return absmax as Float32Array;
  return Float32Array.from(nested.codes, (code, b) => {
    const scaled = fround(nested.map[code] * nested.absmax[Math.floor(b / nested.blocksize)]);
    return fround(scaled + nested.offset);
  });
}

/**
 * Values of the elements [begin, begin + out.length) as f32, unrounded: code[nibble] * absmax[block].
 * `packed` holds the bytes from element `begin` on; `begin` must be even.
 */
export function dequantizeNf4(
  packed: Uint8Array,
  absmax: Float32Array,
  blocksize: number,
  out: Float32Array,
  { begin = 0, code = NF4_CODE as Readonly<Float32Array> } = {},
): Float32Array {
  for (let i = 0; i < out.length; i++) {
    const byte = packed[i >> 1];
    out[i] = code[i & 1 ? byte & 15 : byte >> 4] * absmax[Math.floor((begin + i) / blocksize)];
  }
  return out;
}
