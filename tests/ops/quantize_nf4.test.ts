import { describe, expect, it } from 'vitest';
import { decodeFloats, encodeFloats } from '../../src/formats/float';
import { blockAbsmax, quantizeNf4 } from '../../src/formats/nf4-codec';
import { quantizeNf4Piece } from '../../src/ops/quantize_nf4';
import { createRng } from '../reference/rng';
import { downloadU32 } from '../support/gpu';
import { cmd, device, input, output, read, run } from './support';

const rng = createRng(5);

/** Weights whose blocks have maxima of every size and bit pattern, some blocks all zero, the last one short. */
function weights(elements: number): Float32Array {
  const values = new Float32Array(elements);
  for (let i = 0; i < elements; i += 64) {
    const scale = i % 640 === 0 ? 0 : 2 ** (rng.int(60) - 30) * (1 + rng.uniform());
    for (let j = i; j < Math.min(i + 64, elements); j++) values[j] = scale * (2 * rng.uniform() - 1);
  }
  // Maxima that are powers of two, and one unit beside them.
  for (const [block, top] of [1, 1 + 2 ** -23, 2 - 2 ** -23, 0.5, -4, 2 ** -20].entries()) values[64 * block + 1] = top;
  return values;
}

describe('NF4 on the GPU', () => {
  it.each(['F32', 'BF16', 'F16'] as const)('gives the codes and maxima of the CPU codec from %s', async (format) => {
    const elements = 64 * 700 + 20;
    const bytes = encodeFloats(weights(elements), format) as Uint8Array<ArrayBuffer>;
    const values = decodeFloats(bytes, format);
    const source = input(format === 'F32' ? new Uint8Array(bytes) : bytes);
    const blocks = Math.ceil(elements / 64);
    // Two blocks and their codes before, one word and one maximum behind.
    const words = Math.ceil(elements / 8);
    const codes = input(new Uint32Array(16 + words + 1).fill(0xabcdef01));
    const absmax = output(2 + blocks + 1, 77);
    const piece = { source, format, elements, codes, firstElement: 128, absmax, firstBlock: 2 };
    await run(() => quantizeNf4Piece(cmd, piece));
    const expected = quantizeNf4(values, { doubleQuant: false });
    const maxima = await read(absmax);
    expect(maxima.subarray(2, 2 + blocks)).toEqual(blockAbsmax(values, 64));
    const all = new Uint8Array((await downloadU32(device, codes.buffer)).buffer);
    const packed = all.subarray(64, 64 + elements / 2);
    expect(packed.filter((byte, i) => byte !== expected.packed[i]).length).toBe(0);
    expect(packed).toEqual(expected.packed);
    expect([maxima[0], maxima[1], maxima.at(-1)]).toEqual([77, 77, 77]);
    expect(new Uint32Array(all.buffer).slice(0, 16)).toEqual(new Uint32Array(16).fill(0xabcdef01));
    expect(new Uint32Array(all.buffer).at(-1)).toBe(0xabcdef01);
  });
});
