/** The kernel of products on matrix units that multiply f32: its tile, and recording one. */
import source from '../../shaders/matmul_matrix_f32.wgsl?raw';
import type { Commands } from '../gpu/commands';
import { KernelFamily, oncePer } from '../gpu/kernels';
import { spelled } from '../gpu/matrix-spelling';
import type { MatrixUnits } from '../gpu/tiers';
import { epilogueFlags, type Product, productBindings, productParams } from './product';
import { weightFlag } from './weight';

/** A subgroup makes `sm` x `sn` blocks of 8 x 8 results, a workgroup `wm` x `wn` times as much. */
export interface FloatMatrixTile {
  sm: number;
  sn: number;
  wm: number;
  wn: number;
  /** Values of the inner dimension that are staged at a time, a multiple of 8 that divides 32. */
  bk: number;
}

const TILE: FloatMatrixTile = { sm: 4, sn: 4, wm: 2, wn: 2, bk: 16 };

/** With 15 KB of workgroup memory and 128 threads. One for all products: none was measured yet. */
export const pickFloatMatrixTile = (): FloatMatrixTile => TILE;

export const floatTileSize = ({ sm, sn, wm, wn }: FloatMatrixTile): { bm: number; bn: number } => ({
  bm: 8 * sm * wm,
  bn: 8 * sn * wn,
});

/** The constants of matmul_matrix_f32.wgsl. */
export function floatMatrixConstants(tile: FloatMatrixTile, { subgroup }: MatrixUnits): Record<string, number> {
  const { sm, sn, wm, wn, bk } = tile;
  const { bm, bn } = floatTileSize(tile);
  const loads = (rows: number) => (rows * bk) / 4 / (subgroup * wm * wn);
  return {
    SUBGROUP: subgroup,
    WM: wm,
    WN: wn,
    SM: sm,
    SN: sn,
    BK: bk,
    K_STEPS: bk / 8,
    A_LOADS: loads(bm),
    B_LOADS: loads(bn),
  };
}

const families = oncePer((units: MatrixUnits) =>
  oncePer(
    (tile: FloatMatrixTile) =>
      new KernelFamily('matmul matrix f32', spelled(source, units.spelling), floatMatrixConstants(tile, units)),
  ),
);

/** Records a product, or `splits` parts of it of `splitTiles` tiles of K each into matrices one after the other in y. */
export function floatMatrixProduct(
  cmd: Commands,
  units: MatrixUnits,
  product: Product,
  tile: FloatMatrixTile,
  splits: number,
  splitTiles: number,
): void {
  const { m, n, k, weight, lora } = product;
  const { bm, bn } = floatTileSize(tile);
  cmd.dispatch(
    families(units)(tile).with(epilogueFlags(`${product.flags} ${weightFlag(weight)} SPLITS`, product)),
    productBindings(product),
    productParams(product, { groups: 0, splits, splitTiles }),
    [Math.ceil(n / bn), Math.ceil(m / bm), splits],
    2 * m * n * (k + (lora?.rank ?? 0)),
  );
}
