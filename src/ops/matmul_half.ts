/** The kernel of products of f16 operands on devices without matrix units: its tiles, and recording one. */
import source from '../../shaders/matmul_half.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { HalfTiles, MatmulTile } from '../gpu/profile';
import type { HalfRows } from './half';
import { lanes } from './matmul_tiled';
import { type Product, productBindings, productParams } from './product';

/** Tiles that fill a large GPU. */
const ENOUGH = 96;

export function pickHalfTile({ large, small }: HalfTiles, m: number, n: number): MatmulTile {
  const tiles = Math.ceil(m / large.bm) * Math.ceil(n / large.bn);
  return tiles >= ENOUGH ? large : small;
}

/** Records a product, or `splits` parts of it of `splitTiles` tiles of K each into matrices one after the other in y. */
export function halfProduct(
  cmd: Commands,
  product: Product,
  tile: MatmulTile,
  operands: { x: HalfRows; w: View },
  splits: number,
  splitTiles: number,
): void {
  const { m, n, k, y, lora, residual, columnScale } = product;
  const flags = [...product.flags, 'HALF', 'SPLITS'];
  if (lora) flags.push('LORA');
  if (columnScale) flags.push('COLUMN_SCALE');
  if (residual) flags.push('RESIDUAL');
  const { bm, bn, bk, tm, tn, unroll = 8 } = tile;
  const constants = { BM: bm, BN: bn, BK: bk, TM: tm, TN: tn, UNROLL: unroll, ...lanes(tile) };
  const { x, w } = operands;
  const { scales: _, ...bindings } = productBindings(product);
  cmd.dispatch(
    { name: `matmul half ${flags.join(' ')}`, source, flags, constants },
    { ...bindings, x: x.x, w, factors: x.factors },
    {
      ...productParams(product),
      ldx: x.k,
      x_offset: 0,
      w_offset: 0,
      k_groups: bk / unroll,
      split_tiles: splitTiles,
      y_split: splits > 1 ? m * y.ld : 0,
    },
    [Math.ceil(n / tile.bn), Math.ceil(m / tile.bm), splits],
    2 * m * n * (k + (lora?.rank ?? 0)),
  );
}
