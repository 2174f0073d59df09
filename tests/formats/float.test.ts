import { describe, expect, it } from 'vitest';
import {
  asFloat32Array,
  bf16ToF32,
  decodeFloats,
  encodeFloats,
  f16ToF32,
  f32ToBf16,
  f32ToF16,
} from '../../src/formats/float';

const all16 = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** Value of f16 bits, straight from the definition. */
function f16Value(bits: number): number {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

describe('f16', () => {
  it('reads every value', () => {
    const values = f16ToF32(all16);
    for (let i = 0; i < 65536; i++) if (!Object.is(values[i], f16Value(i))) expect(values[i], `${i}`).toBe(f16Value(i));
  });

  it('writes every value back', () => {
    const back = f32ToF16(f16ToF32(all16));
    for (let i = 0; i < 65536; i++) {
      if ((i & 0x7fff) > 0x7c00) expect(back[i] & 0x7fff).toBe(0x7e00);
      else if (back[i] !== i) expect(back[i]).toBe(i);
    }
  });

  it('rounds to nearest, ties to even, between every two neighbours', () => {
    for (let i = 0; i < 0x7bff; i++) {
      const middle = (f16Value(i) + f16Value(i + 1)) / 2; // exact in f32
      const [at, below, above] = f32ToF16(Float32Array.of(middle, middle * (1 - 2 ** -22), middle * (1 + 2 ** -22)));
      if (at !== i + (i & 1) || below !== i || above !== i + 1)
        expect([at, below, above]).toEqual([i + (i & 1), i, i + 1]);
    }
    expect([
      ...f32ToF16(Float32Array.of(65519.99, 65520, -65520, 1e30, 2 ** -25, -(2 ** -25), 2 ** -25 * 1.01)),
    ]).toEqual([0x7bff, 0x7c00, 0xfc00, 0x7c00, 0, 0x8000, 1]);
  });
});

describe('bf16', () => {
  it('reads the upper half of an f32 and writes it back', () => {
    const values = bf16ToF32(all16);
    const words = new Uint32Array(values.buffer);
    expect(words.every((w, i) => w === i * 65536)).toBe(true);
    const back = f32ToBf16(values);
    for (let i = 0; i < 65536; i++) {
      const expected = (i & 0x7fff) > 0x7f80 ? 0x7fc0 : i;
      if (back[i] !== expected) expect(back[i]).toBe(expected);
    }
  });

  it('rounds to nearest, ties to even', () => {
    const words = Uint32Array.of(0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0xbf808000, 0x7f7fffff, 0x00008001);
    expect([...f32ToBf16(new Float32Array(words.buffer))]).toEqual([
      0x3f80, 0x3f82, 0x3f81, 0x3f80, 0xbf80, 0x7f80, 0x0001,
    ]);
  });
});

it('reads and writes bytes at any offset', () => {
  const values = Float32Array.of(1, -2.5, 3.140625);
  for (const dtype of ['F32', 'BF16', 'F16'] as const) {
    const bytes = encodeFloats(values, dtype);
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect([...decodeFloats(shifted.subarray(1), dtype)]).toEqual([...values]);
  }
  expect(asFloat32Array(new Uint8Array(values.buffer)).buffer).toBe(values.buffer);
});
