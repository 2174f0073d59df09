import { describe, expect, test } from 'vitest';
import { Commands } from '../../src/gpu/commands';
import { profileFor } from '../../src/gpu/profile';
import { HalfOperands } from '../../src/ops/half';
import type { Weight } from '../../src/ops/weight';
import { createRng } from '../reference/rng';
import { download, downloadU32, testDevice, upload } from '../support/gpu';

const device = await testDevice();
const profile = profileFor(device, true);

const buffer = (bytes: number) => device.createBuffer({ size: bytes, usage: 0x80 | 0x04 | 0x08 });
const scratch = () => ({ x: buffer(64 * 1024), factors: buffer(4 * 1024), w: buffer(64 * 1024) });

/** The value of an f16 from its bits. */
function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
}

async function halves(source: GPUBuffer, count: number): Promise<number[]> {
  const words = await downloadU32(device, source, count / 2);
  return [...words].flatMap((w) => [fromHalf(w & 0xffff), fromHalf(w >>> 16)]);
}

describe('rows as f16', () => {
  test.each([
    [72, 2],
    [64, 1],
  ])(
    'large and tiny blocks of %i columns keep eleven bits; factors are powers of two; gaps are left out',
    async (k, kernels) => {
      const cmd = new Commands(device);
      const half = new HalfOperands(cmd, profile, scratch());
      const rng = createRng(3);
      const sizes = [1, 3e8, 2e-9, 0, 1e-15, 200].flatMap((size) => new Array<number>(16).fill(size)).slice(0, -5);
      const [ld, offset] = [80, 8];
      const data = new Float32Array(offset + sizes.length * ld).fill(7);
      sizes.forEach((size, row) => {
        for (let i = 0; i < k; i++) data[offset + row * ld + i] = size * rng.normal();
      });
      const rows = half.rows(sizes.length, k, { view: { buffer: upload(device, data) }, ld, offset });
      expect(cmd.dispatches).toBe(kernels);
      await cmd.finish();
      const values = await halves(rows.x.buffer, sizes.length * k);
      const factors = await download(device, rows.factors.buffer, Math.ceil(sizes.length / 16));
      sizes.forEach((_, row) => {
        const factor = factors[row >> 4];
        expect(Math.log2(factor) % 1).toBeCloseTo(0, 12);
        const top = factor * 256;
        for (let i = 0; i < k; i++) {
          const expected = data[offset + row * ld + i];
          const error = Math.abs(factor * values[row * k + i] - expected);
          expect(error).toBeLessThanOrEqual(Math.max(Math.abs(expected) * 2 ** -11, top * 2 ** -31));
        }
      });
      cmd.destroy();
    },
  );
});

describe('weights as f16', () => {
  test('values from the place asked for; the same again is not converted twice', async () => {
    const cmd = new Commands(device);
    const half = new HalfOperands(cmd, profile, scratch());
    const values = Float32Array.from({ length: 64 * 32 }, (_, i) => Math.sin(i));
    const bits = new Uint32Array(values.length / 2);
    for (let i = 0; i < bits.length; i++) {
      const [low, high] = new Uint32Array(values.slice(2 * i, 2 * i + 2).buffer);
      bits[i] = (low >>> 16) | (high & 0xffff0000);
    }
    const data = { buffer: upload(device, bits) };
    const weight: Weight = { name: 'w', rows: 64, columns: 32, format: 'BF16', parts: [] };
    const part = { firstRow: 0, rows: 64, data, offset: 0 };
    const view = half.w.take(weight, part, 8 * 32, 16 * 32);
    await cmd.finish();
    const actual = await halves(view.buffer, 16 * 32);
    actual.forEach((value, i) => {
      const expected = Math.sin(8 * 32 + i);
      expect(Math.abs(value - expected)).toBeLessThanOrEqual(Math.abs(expected) * 2 ** -7 + 2 ** -24);
    });
    const before = cmd.dispatches;
    half.w.take(weight, part, 8 * 32, 16 * 32);
    expect(cmd.dispatches).toBe(before);
    half.w.take(weight, part, 0, 16 * 32);
    expect(cmd.dispatches).toBe(before + 1);
    cmd.destroy();
  });
});
