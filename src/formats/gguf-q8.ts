/** ggml's Q8_0: blocks of 32 values as an f16 scale and 32 signed bytes (quantize_row_q8_0_ref). */
import { f16ToF32, f32ToF16 } from './float';
import { Q8_BLOCK } from './gguf';

const BLOCK_BYTES = Q8_BLOCK + 2;
const fround = Math.fround;

/**
 * Quantises values whose number is a multiple of 32. Per block d = max |x| / 127 and q = round(x / d), halves away from
 * zero, each step rounded to f32; d is then stored as f16.
 */
export function quantizeQ8(values: Float32Array): Uint8Array<ArrayBuffer> {
  const blocks = values.length / Q8_BLOCK;
  const bytes = new Uint8Array(blocks * BLOCK_BYTES);
  const codes = new Int8Array(bytes.buffer);
  const scales = new Float32Array(blocks);
  for (let b = 0; b < blocks; b++) {
    const first = b * Q8_BLOCK;
    let max = 0;
    for (let i = 0; i < Q8_BLOCK; i++) {
      const x = Math.abs(values[first + i]);
      if (x > max) max = x;
    }
    const scale = fround(max / 127);
    const inverse = scale ? fround(1 / scale) : 0;
    scales[b] = scale;
    const at = b * BLOCK_BYTES + 2;
    for (let i = 0; i < Q8_BLOCK; i++) {
      const x = fround(values[first + i] * inverse);
      codes[at + i] = x < 0 ? -Math.floor(0.5 - x) : Math.floor(x + 0.5);
    }
  }
  const halves = f32ToF16(scales);
  for (let b = 0; b < blocks; b++) {
    bytes[b * BLOCK_BYTES] = halves[b] & 255;
    bytes[b * BLOCK_BYTES + 1] = halves[b] >> 8;
  }
  return bytes;
}

/** The values that Q8_0 blocks mean. */
export function dequantizeQ8(bytes: Uint8Array): Float32Array {
  const blocks = bytes.length / BLOCK_BYTES;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const scales = f16ToF32(Uint16Array.from({ length: blocks }, (_, b) => view.getUint16(b * BLOCK_BYTES, true)));
  const values = new Float32Array(blocks * Q8_BLOCK);
  for (let i = 0; i < values.length; i++) {
    const block = Math.floor(i / Q8_BLOCK);
    values[i] = scales[block] * view.getInt8(block * BLOCK_BYTES + 2 + (i % Q8_BLOCK));
  }
  return values;
}
