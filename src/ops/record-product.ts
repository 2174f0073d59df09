/** Which kernel makes a product on a device, and in how many parts. */
import splitSumSource from '../../shaders/split_sum.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import { KernelFamily } from '../gpu/kernels';
import { type KernelProfile, usesHalf } from '../gpu/profile';
import { expandsNf4 } from './expand-choice';
import { type ExpandedWeight, expandedPart } from './expanded-weight';
import type { HalfOperands } from './half';
import { halfProduct } from './matmul_half';
import { matrixOperands, matrixProduct, pickMatrixTile, suitsMatrix, tileColumns, tileRows } from './matmul_matrix';
import { floatMatrixProduct, floatTileSize, pickFloatMatrixTile } from './matmul_matrix_f32';
import { narrowProduct } from './matmul_narrow';
import { tiledProduct } from './matmul_tiled';
import { type Product, productOf } from './product';
import { itemGroups } from './rows';
import { chooseHalfTile, chooseTile, splitCount, splitParts } from './tile-choice';

/** Room for the ways to make products. */
export interface Means {
  /** Of PARTIAL_VALUES; without it no product is split. */
  partials?: View;
  /** For operands as f16; without it products stay in f32. */
  half?: HalfOperands;
  /** For a weight of NF4 as f32; without it every kernel decodes its own. */
  expanded?: ExpandedWeight;
}

/** Records a product by the kernel that suits it, with K in parts where that fills the device. */
export function recordProduct(cmd: Commands, profile: KernelProfile, means: Means, given: Product): void {
  if (given.m === 0 || given.n === 0) return;
  const product = expand(profile, means, given);
  if (!profile.direct && narrowProduct(cmd, product)) return;
  const { n, k, lora, alpha = 1 } = product;
  const { partials } = means;
  const maySplit = partials !== undefined && !profile.direct && !(lora && alpha !== 1);
  const { bk, splits, record } = kernelFor(cmd, profile, means, product, maySplit);
  const { parts, tiles } = splitParts(bk, k, splits);
  if (parts === 1) {
    record(product, 1, tiles);
    return;
  }
  const width = Math.ceil(n / 4) * 4;
  const { m, x, weight, part, wOffset, flags, starts, half } = product;
  const shape = { m, n, k, x, y: { view: partials!, ld: width }, weight, part, wOffset, flags };
  // What comes after the sum is left to it.
  record(productOf(shape, { lora, starts, half }), parts, tiles);
  sumParts(cmd, product, partials!, parts);
}

/** The product with its weight as f32 in scratch, where that is faster. */
function expand(profile: KernelProfile, { expanded }: Means, product: Product): Product {
  const { m, n, k, weight, part, wOffset } = product;
  const rows = (n * k) / weight.columns;
  if (!expanded || !expandsNf4(profile, weight, m) || rows > expanded.rows(weight.columns)) return product;
  return { ...product, ...expandedPart(expanded.take(weight, part, wOffset, n * k), rows, weight.columns) };
}

/** A kernel and how to use it: values of K in a tile, into how many parts K is best split. */
interface Recorder {
  bk: number;
  splits: number;
  /** Records the product, or parts of K of `tiles` tiles each into matrices one after the other in y. */
  record(product: Product, parts: number, tiles: number): void;
}

function kernelFor(
  cmd: Commands,
  profile: KernelProfile,
  { half }: Means,
  product: Product,
  maySplit: boolean,
): Recorder {
  const { m, n, k } = product;
  const units = profile.matrix;
  const takesHalf = usesHalf(profile) && half && suitsMatrix(product, profile);
  const operands = product.operands ?? (takesHalf ? matrixOperands(half, product, product.half) : null);
  const { format } = product.weight;
  const direction = product.flags === 'B_ROWS_N' ? 'forward' : 'backward';
  if (profile.half && operands) {
    const { tile, splits } = chooseHalfTile(profile.half, profile, { m, n, k, format: 'F16', direction }, maySplit);
    const record = (part: Product, parts: number, tiles: number) =>
      halfProduct(cmd, part, tile, operands, parts, tiles);
    return { bk: tile.bk, splits, record };
  }
  if (units && operands) {
    const tile = pickMatrixTile(m, n);
    return {
      bk: tile.bk,
      splits: maySplit ? splitCount({ bm: tileRows(tile), bn: tileColumns(tile) }, m, n, k) : 1,
      record: (part, parts, tiles) => matrixProduct(cmd, units, part, tile, operands, parts, tiles),
    };
  }
  const { floatMatrix } = profile;
  if (floatMatrix && suitsMatrix(product, profile)) {
    const tile = pickFloatMatrixTile();
    return {
      bk: tile.bk,
      splits: maySplit ? splitCount(floatTileSize(tile), m, n, k) : 1,
      record: (part, parts, tiles) => floatMatrixProduct(cmd, floatMatrix, part, tile, parts, tiles),
    };
  }
  const { tile, splits } = chooseTile(profile, { m, n, k, format, direction }, maySplit);
  return { bk: tile.bk, splits, record: (part, parts, tiles) => tiledProduct(cmd, profile, part, tile, parts, tiles) };
}

const SPLIT_SUMS = new KernelFamily('split sum', splitSumSource);

/** y from its partial matrices. */
function sumParts(cmd: Commands, product: Product, partials: View, splits: number): void {
  const { m, n, y, columnScale, residual, alpha = 1, accumulate } = product;
  cmd.dispatch(
    SPLIT_SUMS.with(`${columnScale ? 'COLUMN_SCALE' : ''}${residual ? ' RESIDUAL' : ''}`),
    { partials, y: y.view, residual: residual?.view, column_scale: columnScale?.view },
    {
      M: m,
      N: n,
      splits,
      ldy: y.ld,
      y_offset: y.offset ?? 0,
      ldr: residual?.ld ?? 0,
      r_offset: residual?.offset ?? 0,
      s_offset: columnScale?.offset ?? 0,
      alpha,
      accumulate: accumulate ? 1 : 0,
    },
    itemGroups(m * Math.ceil(n / 4)),
    m * n * splits,
  );
}
