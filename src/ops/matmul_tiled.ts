/** The kernel of products in f32, and its tiles; and the one without tiles, for adapters that compute on the CPU. */
import source from '../../shaders/matmul.wgsl?raw';
import directSource from '../../shaders/matmul_direct.wgsl?raw';
import type { Commands } from '../gpu/commands';
import { KernelFamily, oncePer } from '../gpu/kernels';
import type { KernelProfile, MatmulTile } from '../gpu/profile';
import { epilogueFlags, type Product, productBindings, productParams } from './product';
import { weightFlag } from './weight';

/** Threads that stand side by side in a subgroup: at most 8 x 4 of those that a tile has. */
export function lanes(tile: MatmulTile): { LANES_X: number; LANES_Y: number } {
  const most = (count: number, limit: number) => [8, 4, 2, 1].find((n) => n <= limit && count % n === 0)!;
  return { LANES_X: most(tile.bn / tile.tn, 8), LANES_Y: most(tile.bm / tile.tm, 4) };
}

export const threads = ({ bm, bn, tm, tn }: MatmulTile): number => (bm / tm) * (bn / tn);

/** The values of k that are unrolled. */
export const unrolled = ({ bk, unroll = bk }: MatmulTile): number => Math.min(bk, unroll);

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

/** Kernels of a tile, those for wide words of NF4 and those for operands turned against each other apart. */
const families = oncePer((tile: MatmulTile) => {
  const family = (wide: boolean, turned: boolean) => new KernelFamily('matmul', source, constants(tile, wide, turned));
  const both = (wide: boolean) => ({ turned: family(wide, true), plain: family(wide, false) });
  return { wide: both(true), narrow: both(false) };
});

/** More rows for a value whose decoding takes time; with fewer the kernel is compiled in half the time. */
const directFamilies = oncePer(({ bm, bn }: MatmulTile) => {
  const family = (quads: number) =>
    new KernelFamily('matmul direct', directSource, { QUADS: quads, THREADS_M: bm / (4 * quads), THREADS_N: bn / 4 });
  return { plain: family(2), decoding: family(4) };
});

/** Records a product: all of K, or `splits` parts of it of `splitTiles` tiles each into matrices one after the other in y. */
export function tiledProduct(
  cmd: Commands,
  profile: KernelProfile,
  product: Product,
  tile: MatmulTile,
  splits: number,
  splitTiles: number,
): void {
  const { m, n, k, weight, lora } = product;
  let flags = epilogueFlags(`${product.flags} ${weightFlag(weight)}`, product);
  const groups = tile.bk / unrolled(tile);
  let family = directFamilies(tile)[weight.format === 'F32' ? 'plain' : 'decoding'];
  if (!profile.direct) {
    const wide = isWide(product, tile);
    flags += ' SPLITS';
    if (groups > 1) flags += ' K_GROUPS';
    if (k % tile.bk !== 0) flags += ' K_TAIL';
    if (wide) flags += ' NF4_WIDE';
    family = families(tile)[wide ? 'wide' : 'narrow'][product.flags === 'B_ROWS_N' ? 'turned' : 'plain'];
  }
  cmd.dispatch(
    family.with(flags),
    productBindings(product),
    productParams(product, { groups, splits, splitTiles }),
    [Math.ceil(n / tile.bn), Math.ceil(m / tile.bm), splits],
    2 * m * n * (k + (lora?.rank ?? 0)),
  );
}
