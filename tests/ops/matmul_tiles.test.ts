/** Matrix products with the tiles that GPUs get, and with the inner dimension in parts. */
import { describe, expect, test } from 'vitest';
import { chooseTile, type ProductSize } from '../../src/ops/tile-choice';
import { createRng } from '../reference/rng';
import { type Case, checkProduct, titled } from './products';
import { gpuProfiles } from './support';

const SIZES: Record<string, number[]> = {
  'GPU, small tile': [32, 32],
  'GPU, tile between': [64, 128],
  'GPU, medium tile': [64, 64],
  'GPU, large tile': [128, 128],
};

describe.each(Object.entries(gpuProfiles))('products with the tiles of a %s', (name, profile) => {
  test('NF4 with LoRA', async () => {
    const large = name.includes('large');
    const size: ProductSize = { m: 64, n: 172, k: 140, format: 'NF4', direction: 'forward' };
    const { tile } = chooseTile(profile, size, false);
    expect([tile.bm, tile.bn]).toEqual(SIZES[name]);
    const c: Case = { direction: 'backward', tokens: 140, rows: 64, columns: 172, format: 'NF4', rank: 3 };
    await checkProduct(profile, large ? { ...c, direction: 'forward', columns: 64, rows: 140 } : c, createRng(3));
  });
});

describe('rows of whole NF4 blocks, inner dimension in parts', () => {
  const mid = { bm: 64, bn: 64, bk: 8, tm: 8, tn: 8 };
  const profile = { ...gpuProfiles['GPU, small tile'], large: mid, between: mid, medium: mid, small: mid };
  const cases: Case[] = [
    { direction: 'forward', tokens: 70, rows: 76, columns: 448, format: 'NF4', rank: 3, residual: true },
    { direction: 'forward', tokens: 70, rows: 76, columns: 448, format: 'NF4', rank: 3, residual: true, split: true },
    { direction: 'backward', tokens: 70, rows: 264, columns: 192, format: 'NF4', rank: 3, accumulate: true },
    {
      direction: 'backward',
      tokens: 70,
      rows: 520,
      columns: 192,
      format: 'NF4',
      rank: 3,
      accumulate: true,
      split: true,
    },
    { direction: 'forward', tokens: 70, rows: 16, columns: 448, format: 'F32', alpha: 0.5, split: true },
    {
      direction: 'backward',
      tokens: 9,
      rows: 900,
      columns: 132,
      format: 'F32',
      alpha: 0.5,
      accumulate: true,
      split: true,
    },
  ];
  test.each(titled(cases))('%s', async (_, c) => {
    const [n, k] = c.direction === 'forward' ? [c.rows, c.columns] : [c.columns, c.rows];
    const size: ProductSize = { m: c.tokens, n, k, format: c.format, direction: c.direction };
    if (c.split) expect(chooseTile(profile, size, true).splits).toBeGreaterThan(1);
    await checkProduct(profile, c, createRng(11));
  });
});
