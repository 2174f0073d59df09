/** The kernel of products on matrix units: which products it takes, and its tiles. */
import source from '../../shaders/matmul_matrix.wgsl?raw';
import type { Commands } from '../gpu/commands';
import { KernelFamily, oncePer } from '../gpu/kernels';
import { spelled } from '../gpu/matrix-spelling';
import type { KernelProfile } from '../gpu/profile';
import type { MatrixUnits } from '../gpu/tiers';
import type { HalfOperands, HalfRows } from './half';
import { epilogueFlags, type HalfPair, type Product, productBindings, productParams } from './product';

/** A subgroup makes `sm` x `sn` blocks of 16 x 16 results, a workgroup `wm` x `wn` times as much. */
export interface MatrixTile {
  sm: number;
  /** Even. */
  sn: number;
  wm: number;
  wn: number;
  /** Values of the inner dimension that are staged at a time, a multiple of 16. */
  bk: number;
}

export const LARGE_MATRIX_TILE: MatrixTile = { sm: 4, sn: 4, wm: 2, wn: 2, bk: 32 };
/** For products that would leave most of the GPU idle with the large one. */
export const SMALL_MATRIX_TILE: MatrixTile = { sm: 2, sn: 4, wm: 2, wn: 2, bk: 32 };

export const tileRows = (tile: MatrixTile): number => 16 * tile.sm * tile.wm;
export const tileColumns = (tile: MatrixTile): number => 16 * tile.sn * tile.wn;

/** Tiles that fill a large GPU. */
const ENOUGH = 128;
export const FEWEST_ROWS = 32;
const FEWEST_COLUMNS = 64;

/** Whether a product with a frozen weight is one for f16 operands, on matrix units or without. */
export function suitsMatrix(product: Product, { matrix }: Pick<KernelProfile, 'matrix'>): boolean {
  const { m, n, k, weight, lora, alpha = 1 } = product;
  const enough = m >= FEWEST_ROWS && n >= FEWEST_COLUMNS;
  return (
    !weight.trainable &&
    enough &&
    k % 32 === 0 &&
    n % 8 === 0 &&
    weight.columns % (matrix ? 32 : 8) === 0 &&
    !(lora && alpha !== 1)
  );
}

export function pickMatrixTile(m: number, n: number): MatrixTile {
  const tiles = Math.ceil(m / tileRows(LARGE_MATRIX_TILE)) * Math.ceil(n / tileColumns(LARGE_MATRIX_TILE));
  return tiles >= ENOUGH ? LARGE_MATRIX_TILE : SMALL_MATRIX_TILE;
}

/** The constants of matmul_matrix.wgsl. */
export function matrixConstants({ sm, sn, wm, wn, bk }: MatrixTile, { subgroup }: MatrixUnits): Record<string, number> {
  const threads = subgroup * wm * wn;
  const loads = (rows: number) => (rows * bk) / 8 / threads;
  return {
    SUBGROUP: subgroup,
    WM: wm,
    WN: wn,
    SM: sm,
    SN_PAIRS: sn / 2,
    BK: bk,
    K_STEPS: bk / 16,
    A_LOADS: loads(16 * sm * wm),
    B_LOADS: loads(16 * sn * wn),
  };
}

const families = oncePer((units: MatrixUnits) =>
  oncePer(
    (tile: MatrixTile) =>
      new KernelFamily('matmul matrix', spelled(source, units.spelling), matrixConstants(tile, units)),
  ),
);

/** Records a product, or `splits` parts of it of `splitTiles` tiles of K each into matrices one after the other in y. */
export function matrixProduct(
  cmd: Commands,
  units: MatrixUnits,
  product: Product,
  tile: MatrixTile,
  operands: HalfPair,
  splits: number,
  splitTiles: number,
): void {
  const { m, n, k, lora, residual, accumulate, columnScale } = product;
  let flags = `${product.flags} HALF MATRIX SPLITS`;
  if (units.spelling === 'template') flags += ' VECTORS';
  if (columnScale || (residual && accumulate)) flags += ' STAGED';
  else if (accumulate) flags += ' ACCUMULATE';
  cmd.dispatch(
    families(units)(tile).with(epilogueFlags(flags, product)),
    productBindings(product, operands),
    productParams(product, { groups: 0, splits, splitTiles }, operands),
    [Math.ceil(n / tileColumns(tile)), Math.ceil(m / tileRows(tile)), splits],
    2 * m * n * (k + (lora?.rank ?? 0)),
  );
}

/** The f16 operands of a product; null when there is no room for them. `x`: rows that are in scratch already. */
export function matrixOperands(half: HalfOperands, product: Product, x?: HalfRows): HalfPair | null {
  const { m, n, k, weight, part, wOffset } = product;
  if (!half.fits(m, k, (n * k) / weight.columns, weight.columns)) return null;
  return {
    x: x && x.m === m && x.k === k ? x : half.rows(m, k, product.x),
    w: half.w.take(weight, part, wOffset, n * k),
  };
}
