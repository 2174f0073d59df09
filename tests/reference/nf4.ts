/** bitsandbytes' NF4 weights back to numbers, every operation rounded to float32 as there. */

export interface Nf4Weight {
  /** Two codes a byte, the even element in the high nibble. */
  packed: ArrayLike<number>;
  /** The 16 values of the codes. */
  quantMap: ArrayLike<number>;
  /** Elements per block (64). */
  blocksize: number;
  /** Per block: its absmax, or with double quantisation the code of it in `nested.map`. */
  absmax: ArrayLike<number>;
  nested?: { map: ArrayLike<number>; absmax: ArrayLike<number>; blocksize: number; offset: number };
}

const f32 = Math.fround;

/** w = map[code] · absmax, with absmax = nested.map[code] · nested.absmax + offset under double quantisation. */
export function dequantiseNf4(weight: Nf4Weight): Float64Array {
  const { packed, quantMap, blocksize, absmax, nested } = weight;
  const out = new Float64Array(packed.length * 2);
  const values = new Float64Array(16);
  for (let block = 0; block * blocksize < out.length; block++) {
    const scale = nested
      ? f32(f32(nested.map[absmax[block]] * nested.absmax[Math.floor(block / nested.blocksize)]) + f32(nested.offset))
      : absmax[block];
    for (let code = 0; code < 16; code++) values[code] = f32(quantMap[code] * scale);
    const end = Math.min(packed.length, ((block + 1) * blocksize) / 2);
    for (let i = (block * blocksize) / 2; i < end; i++) {
      out[2 * i] = values[packed[i] >> 4];
      out[2 * i + 1] = values[packed[i] & 15];
    }
  }
  return out;
}
