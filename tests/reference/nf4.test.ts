import { expect, test } from 'vitest';
import { dequantiseNf4 } from './nf4';

const quantMap = Float32Array.from({ length: 16 }, (_, i) => i / 8 - 1);

test('the even element is in the high nibble; one absmax per block', () => {
  const w = dequantiseNf4({ packed: [0x0f, 0x8c, 0xf0, 0x44], quantMap, blocksize: 4, absmax: [2, 3] });
  expect([...w]).toEqual([-2, 1.75, 0, 1, 2.625, -3, -1.5, -1.5]);
});

test('double quantisation: absmax = map[code] · nested absmax + offset', () => {
  const nested = { map: [-1, 0, 0.5], absmax: [4, 8], blocksize: 2, offset: 10 };
  const packed = [0x0f, 0x0f, 0x0f];
  const w = dequantiseNf4({ packed, quantMap, blocksize: 2, absmax: [0, 2, 1], nested });
  expect([...w]).toEqual([-6, 6 * 0.875, -12, 12 * 0.875, -10, 10 * 0.875]);
});

test('values are float32', () => {
  const w = dequantiseNf4({ packed: [0x12], quantMap: quantMap.map((v) => v / 3), blocksize: 2, absmax: [0.1] });
  for (const value of w) expect(Math.fround(value)).toBe(value);
});
