/** The kernel of products in f32, and its tiles; and the one without tiles, for adapters that compute on the CPU. */
import source from '../../shaders/matmul.wgsl?raw';
import directSource from '../../shaders/matmul_direct.wgsl?raw';
import type { Commands } from '../gpu/commands';
import type { KernelProfile, MatmulTile } from '../gpu/profile';
import { type Product, productBindings, productParams } from './product';
import { weightFlag } from './weight';

/** Threads that stand side by side in a subgroup: at most 8 x 4 of those that a tile has. */
export function lanes(tile: MatmulTile): { LANES_X: number; LANES_Y: number } {
  const most = (count: number, limit: number) => [8, 4, 2, 1].find((n) => n <= limit && count % n === 0)!;
  return { LANES_X: most(tile.bn / tile.tn, 8), LANES_Y: most(tile.bm / tile.tm, 4) };
}

const threads = ({ bm, bn, tm, tn }: MatmulTile): number => (bm / tm) * (bn / tn);

/** The values of k that are unrolled. */
const unrolled = ({ bk, unroll = bk }: MatmulTile): number => Math.min(bk, unroll);

/** The constants of lib/product_tile.wgsl and the files that go with it. */
function constants(tile: MatmulTile, wide: boolean, turned: boolean): Record<string, number> {
  const { bm, bn, bk, tm, tn } = tile;
  return {
    ...{ BM: bm, BN: bn, BK: bk, TM: tm, TN: tn, TM_QUADS: tm / 4, TN_QUADS: tn / 4 },
    ...lanes(tile),
    UNROLL: unrolled(tile),
    SLOTS: Math.ceil(((bm + bn) * bk) / 16 / threads(tile)),
    ITEM: wide ? 8 : 4,
    // A word of NF4 holds eight columns of a row, so a block of 16 values is two words there.
    B_READS: wide && !turned ? 2 : 4,
  };
}

/** Whether every word of NF4 holds 8 values of one block of 64, and such blocks do not cross rows or tiles. */
function isWide({ weight, wOffset, k }: Product, tile: MatmulTile): boolean {
  const { bn, bk } = tile;
  const fits = k % bk === 0 && bk <= 32 && 64 % bk === 0 && bn % 64 === 0 && threads(tile) >= bn;
  return weight.format === 'NF4' && fits && weight.columns % 64 === 0 && wOffset % 64 === 0;
}

/** Records a product: all of K, or `splits` parts of it of `splitTiles` tiles each into matrices one after the other in y. */
export function tiledProduct(
  cmd: Commands,
  profile: KernelProfile,
  product: Product,
  tile: MatmulTile,
  splits: number,
  splitTiles: number,
): void {
  const { m, n, k, y, weight, lora, columnScale, residual } = product;
  const flags = [...product.flags, weightFlag(weight)];
  if (lora) flags.push('LORA');
  if (columnScale) flags.push('COLUMN_SCALE');
  if (residual) flags.push('RESIDUAL');
  const wide = !profile.direct && isWide(product, tile);
  // More rows for a value whose decoding takes time; with fewer the kernel is compiled in half the time.
  const quads = weight.format === 'F32' ? 2 : 4;
  const groups = tile.bk / unrolled(tile);
  if (!profile.direct) {
    flags.push('SPLITS');
    if (groups > 1) flags.push('K_GROUPS');
    if (k % tile.bk !== 0) flags.push('K_TAIL');
    if (wide) flags.push('NF4_WIDE');
  }
  cmd.dispatch(
    profile.direct
      ? {
          name: `matmul direct ${flags.join(' ')}`,
          source: directSource,
          flags,
          constants: { QUADS: quads, THREADS_M: tile.bm / (4 * quads), THREADS_N: tile.bn / 4 },
        }
      : {
          name: `matmul ${flags.join(' ')}`,
          source,
          flags,
          constants: constants(tile, wide, product.flags.includes('B_ROWS_N')),
        },
    productBindings(product),
    {
      ...productParams(product),
      k_groups: groups,
      split_tiles: splitTiles,
      y_split: splits > 1 ? m * y.ld : 0,
    },
    [Math.ceil(n / tile.bn), Math.ceil(m / tile.bm), splits],
    2 * m * n * (k + (lora?.rank ?? 0)),
  );
}
