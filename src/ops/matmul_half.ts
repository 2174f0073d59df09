/** The kernel of products of f16 operands on devices without matrix units: its tiles, and recording one. */
import source from '../../shaders/matmul_half.wgsl?raw';
import type { Commands } from '../gpu/commands';
import { KernelFamily, oncePer } from '../gpu/kernels';
import type { HalfTiles, MatmulTile } from '../gpu/profile';
import { lanes } from './matmul_tiled';
import { epilogueFlags, type HalfPair, type Product, productBindings, productParams } from './product';

/** Tiles that fill a large GPU. */
const ENOUGH = 96;

export function pickHalfTile({ large, small }: HalfTiles, m: number, n: number): MatmulTile {
  const tiles = Math.ceil(m / large.bm) * Math.ceil(n / large.bn);
  return tiles >= ENOUGH ? large : small;
}

const families = oncePer((tile: MatmulTile) => {
  const { bm, bn, bk, tm, tn } = tile;
  const constants = { BM: bm, BN: bn, BK: bk, TM: tm, TN: tn, UNROLL: unrolled(tile), ...lanes(tile) };
  return new KernelFamily('matmul half', source, constants);
});

const unrolled = ({ unroll = 8 }: MatmulTile): number => unroll;

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
  cmd.dispatch(
    families(tile).with(epilogueFlags(`${product.flags} HALF SPLITS`, product)),
    productBindings(product, operands),
    productParams(product, { groups: tile.bk / unrolled(tile), splits, splitTiles }, operands),
    [Math.ceil(n / tile.bn), Math.ceil(m / tile.bm), splits],
    2 * m * n * (k + (lora?.rank ?? 0)),
  );
}
