/**
 * Conversions between f32 and the two 16-bit formats, in bulk. Rounding is to nearest, ties to even, as PyTorch's
 * `.to(dtype)`. Bytes are little-endian (as in safetensors) and may lie at any offset of their buffer.
 */
import type { Dtype } from './safetensors';

/** Float formats that weights may have. */
export type FloatDtype = 'F32' | 'BF16' | 'F16';

export const FLOAT_BYTES: Readonly<Record<FloatDtype, number>> = { F32: 4, BF16: 2, F16: 2 };

export function isFloatDtype(dtype: Dtype | string): dtype is FloatDtype {
  return dtype === 'F32' || dtype === 'BF16' || dtype === 'F16';
}

/** A typed view of the bytes; copies them only when they are not aligned for it. */
export function asFloat32Array(bytes: Uint8Array): Float32Array {
  const { buffer, byteOffset } = byteOffsetAligned(bytes, 4);
  return new Float32Array(buffer, byteOffset, bytes.byteLength >>> 2);
}

/** A typed view of the bytes; copies them only when they are not aligned for it. */
export function asUint16Array(bytes: Uint8Array): Uint16Array {
  const { buffer, byteOffset } = byteOffsetAligned(bytes, 2);
  return new Uint16Array(buffer, byteOffset, bytes.byteLength >>> 1);
}

function byteOffsetAligned(bytes: Uint8Array, alignment: number): Uint8Array {
  return bytes.byteOffset % alignment === 0 ? bytes : bytes.slice();
}

/** bf16 bits to f32, exact. */
export function bf16ToF32(bits: Uint16Array, out = new Float32Array(bits.length)): Float32Array {
  const words = new Uint32Array(out.buffer, out.byteOffset, bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  return out;
}

/** f32 to bf16 bits, round to nearest even; NaN becomes 0x7fc0 as in PyTorch. */
export function f32ToBf16(values: Float32Array, out = new Uint16Array(values.length)): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) {
    const w = words[i];
    out[i] = (w & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (w + 0x7fff + ((w >>> 16) & 1)) >>> 16;
  }
  return out;
}

/** f16 bits to f32, exact. */
export function f16ToF32(bits: Uint16Array, out = new Float32Array(bits.length)): Float32Array {
  const words = new Uint32Array(out.buffer, out.byteOffset, bits.length);
  for (let i = 0; i < bits.length; i++) {
    const h = bits[i];
    const magnitude = h & 0x7fff;
    const sign = (h & 0x8000) << 16;
    if (magnitude >= 0x7c00) words[i] = sign | 0x7f800000 | ((magnitude & 0x3ff) << 13);
    else if (magnitude >= 0x400) words[i] = sign | ((magnitude << 13) + 0x38000000);
    else out[i] = (sign ? -magnitude : magnitude) * 2 ** -24;
    if (magnitude === 0) words[i] = sign;
  }
  return out;
}

/** f32 to f16 bits, round to nearest even; beyond 65519 becomes infinity, NaN becomes 0x7e00 with the sign kept. */
export function f32ToF16(values: Float32Array, out = new Uint16Array(values.length)): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) {
    const sign = (words[i] >>> 16) & 0x8000;
    const w = words[i] & 0x7fffffff;
    let h: number;
    if (w > 0x7f800000) h = 0x7e00;
    else if (w >= 0x477ff000) h = 0x7c00;
    else if (w >= 0x38800000) h = (w - 0x38000000 + 0xfff + ((w >>> 13) & 1)) >>> 13;
    else h = roundHalfEven(Math.abs(values[i]) * 2 ** 24);
    out[i] = sign | h;
  }
  return out;
}

/** x in [0, 1024]; x is exact in f64, so this rounds once. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && (floor & 1) === 1) ? floor + 1 : floor;
}

/** Little-endian bytes of a float tensor as f32 values. F32 shares the bytes' memory when aligned. */
export function decodeFloats(bytes: Uint8Array, dtype: FloatDtype): Float32Array {
  if (dtype === 'F32') return asFloat32Array(bytes);
  return dtype === 'BF16' ? bf16ToF32(asUint16Array(bytes)) : f16ToF32(asUint16Array(bytes));
}

/** f32 values as little-endian bytes of `dtype`, rounded once. F32 shares the values' memory. */
export function encodeFloats(values: Float32Array, dtype: FloatDtype): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return new Uint8Array((dtype === 'BF16' ? f32ToBf16(values) : f32ToF16(values)).buffer);
}
