/** The kernel of products of f16 operands on devices without matrix units. */
import source from '../../shaders/matmul_half.wgsl?raw';
import type { Commands } from '../gpu/commands';
import { KernelFamily, oncePer } from '../gpu/kernels';
import type { MatmulTile } from '../gpu/profile';
import { lanes, threads, unrolled } from './matmul_tiled';
import { epilogueFlags, type HalfPair, type Product, productBindings, productParams } from './product';

const families = oncePer((tile: MatmulTile) => {
  const { bm, bn, bk, tm, tn } = tile;
  const unroll = unrolled(tile);
  return new KernelFamily('matmul half', source, {
    ...{ BM: bm, BN: bn, BK: bk, TM: tm, TN: tn, TM_QUADS: tm / 4, TN_QUADS: tn / 4 },
    ...{ UNROLL: unroll, PAIRS: unroll / 2 },
    ...lanes(tile),
    SLOTS: Math.ceil(((bm + bn) * bk) / 32 / threads(tile)),
  });
});

/** Records a product, or `splits` parts of it of `splitTiles` tiles of K each into matrices one after the other in y. */
export function halfProduct(
  cmd: Commands,
  product: Product,
  tile: MatmulTile,
  operands: HalfPair,
  splits: number,
  splitTiles: number,
): void {
  const { m, n, k, lora } = product;
  const groups = tile.bk / unrolled(tile);
  const flags = `${product.flags} HALF SPLITS${groups > 1 ? ' K_GROUPS' : ''}`;
  cmd.dispatch(
    families(tile).with(epilogueFlags(flags, product)),
    productBindings(product, operands),
    productParams(product, { groups, splits, splitTiles }, operands),
    [Math.ceil(n / tile.bn), Math.ceil(m / tile.bm), splits],
    2 * m * n * (k + (lora?.rank ?? 0)),
  );
}
