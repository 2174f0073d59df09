/** Matrix products with frozen or trainable weights, in both directions, with LoRA in the epilogue. */
import splitSumSource from '../../shaders/split_sum.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import { type KernelProfile, usesHalf } from '../gpu/profile';
import type { HalfOperands, HalfRows } from './half';
import { halfProduct, pickHalfTile } from './matmul_half';
import {
  FEWEST_ROWS,
  matrixOperands,
  matrixProduct,
  pickMatrixTile,
  suitsMatrix,
  tileColumns,
  tileRows,
} from './matmul_matrix';
import { floatMatrixProduct, floatTileSize, pickFloatMatrixTile } from './matmul_matrix_f32';
import { tiledProduct } from './matmul_tiled';
import { itemGroups } from './rows';
import { chooseTile, splitCount, splitParts } from './tile-choice';
import { nestedParams, type Weight, type WeightPart, weightBindings } from './weight';

/** Rows of f32 values inside a buffer: `ld` values from row to row, `offset` values before the first. */
export interface Rows {
  view: View;
  ld: number;
  offset?: number;
}

/** The low-rank part that rides in a product's epilogue: U [m, rank] times V. */
export interface LoraPart {
  u: Rows;
  v: Rows;
  rank: number;
}

export interface ProductOptions {
  alpha?: number;
  /** Adds to what `y` holds. */
  accumulate?: boolean;
  lora?: LoraPart;
  /** One factor for each column of the product and its low-rank part; `offset` values before the first. */
  columnScale?: { view: View; offset: number };
  /** Added to the result; read before `y` is written, so both may not be one buffer. */
  residual?: Rows;
  /** x as f16, where `MatmulOps.half` made it before, for several products with the same x. */
  half?: HalfRows;
}

/** One product to record: Y [m, n] of K values a sum, with some rows of one part of a weight. */
export interface Product extends ProductOptions {
  m: number;
  n: number;
  k: number;
  x: Rows;
  y: Rows;
  weight: Weight;
  part: WeightPart;
  /** Values before the first one used in the part. */
  wOffset: number;
  flags: string[];
  /** Both operands as f16, where they were made before. */
  operands?: { x: HalfRows; w: View };
}

/** The buffers of lib/product.wgsl and lib/weight.wgsl. */
export function productBindings({ x, y, weight, part, lora, residual, columnScale }: Product): Record<string, View> {
  return {
    x: x.view,
    ...weightBindings(weight, part),
    y: y.view,
    ...(lora && { u: lora.u.view, v: lora.v.view }),
    ...(residual && { residual: residual.view }),
    ...(columnScale && { column_scale: columnScale.view }),
  };
}

/** The parameters of lib/product.wgsl, but for those of splits. */
export function productParams(product: Product): Record<string, number> {
  const { m, n, k, x, y, weight, part, lora, residual, columnScale, alpha = 1, accumulate } = product;
  return {
    M: m,
    N: n,
    K: k,
    ldx: x.ld,
    x_offset: x.offset ?? 0,
    ldw: weight.columns,
    w_offset: product.wOffset,
    ldy: y.ld,
    y_offset: y.offset ?? 0,
    ldr: residual?.ld ?? 0,
    r_offset: residual?.offset ?? 0,
    rank: lora?.rank ?? 0,
    ldu: lora?.u.ld ?? 0,
    u_offset: lora?.u.offset ?? 0,
    ldv: lora?.v.ld ?? 0,
    v_offset: lora?.v.offset ?? 0,
    alpha,
    accumulate: accumulate ? 1 : 0,
    s_offset: columnScale?.offset ?? 0,
    ...nestedParams(weight, part),
  };
}

/** The device's ways to make products, and room for them. */
interface Means {
  profile: KernelProfile;
  partials?: View;
  half?: HalfOperands;
}

function dispatch(cmd: Commands, means: Means, product: Product): void {
  if (product.m === 0 || product.n === 0) return;
  const { n, k, lora, alpha = 1 } = product;
  const { partials, profile } = means;
  const maySplit = partials !== undefined && !profile.direct && !(lora && alpha !== 1);
  const { bk, splits, record } = kernelFor(cmd, means, product, maySplit);
  const { parts, tiles } = splitParts(bk, k, splits);
  if (parts === 1) {
    record(product, 1, tiles);
    return;
  }
  const width = Math.ceil(n / 4) * 4;
  const { alpha: _, columnScale: __, residual: ___, accumulate: ____, ...plain } = product;
  record({ ...plain, y: { view: partials!, ld: width } }, parts, tiles);
  sumParts(cmd, product, partials!, parts);
}

/** A kernel and how to use it: values of K in a tile, into how many parts K is best split. */
interface Recorder {
  bk: number;
  splits: number;
  /** Records the product, or parts of K of `tiles` tiles each into matrices one after the other in y. */
  record(product: Product, parts: number, tiles: number): void;
}

function kernelFor(cmd: Commands, { profile, half }: Means, product: Product, maySplit: boolean): Recorder {
  const { m, n, k } = product;
  const units = profile.matrix;
  const takesHalf = usesHalf(profile) && half && suitsMatrix(product, profile);
  const operands = product.operands ?? (takesHalf ? matrixOperands(half, product, product.half) : null);
  if (profile.half && operands) {
    const tile = pickHalfTile(profile.half, m, n);
    return {
      bk: tile.bk,
      splits: maySplit ? splitCount(tile, m, n, k) : 1,
      record: (part, parts, tiles) => halfProduct(cmd, part, tile, operands, parts, tiles),
    };
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
  const direction = product.flags.includes('B_ROWS_N') ? 'forward' : 'backward';
  const { tile, splits } = chooseTile(profile, { m, n, k, format: product.weight.format, direction }, maySplit);
  return { bk: tile.bk, splits, record: (part, parts, tiles) => tiledProduct(cmd, profile, part, tile, parts, tiles) };
}

/** y from its partial matrices. */
function sumParts(cmd: Commands, product: Product, partials: View, splits: number): void {
  const { m, n, y, columnScale, residual, alpha = 1, accumulate } = product;
  const flags: string[] = [];
  if (columnScale) flags.push('COLUMN_SCALE');
  if (residual) flags.push('RESIDUAL');
  cmd.dispatch(
    { name: `split sum ${flags.join(' ')}`, source: splitSumSource, flags },
    {
      partials,
      y: y.view,
      ...(residual && { residual: residual.view }),
      ...(columnScale && { column_scale: columnScale.view }),
    },
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

/** Records a forward product with a kernel of its own and answers true, or leaves it alone. */
export type ForwardKernel = (cmd: Commands, profile: KernelProfile, product: Product) => boolean;

export class MatmulOps {
  readonly cmd: Commands;
  readonly profile: KernelProfile;
  readonly partials: View | undefined;
  readonly special: ForwardKernel | undefined;
  readonly #half: HalfOperands | undefined;

  /**
   * @param partials room for PARTIAL_VALUES; without it no product is split
   * @param special asked first for every forward product
   * @param half room for operands as f16; without it products stay in f32
   */
  constructor(cmd: Commands, profile: KernelProfile, partials?: View, special?: ForwardKernel, half?: HalfOperands) {
    this.cmd = cmd;
    this.profile = profile;
    this.partials = partials;
    this.special = special;
    this.#half = half;
  }

  /** x [m, k] as f16 for the `half` of several products; undefined where they would not use it. Good until the next product. */
  half(m: number, k: number, x: Rows): HalfRows | undefined {
    if (!usesHalf(this.profile) || m < FEWEST_ROWS || k % 32 !== 0 || !this.#half?.fits(m, k)) return undefined;
    return this.#half.rows(m, k, x);
  }

  get #means(): Means {
    return { profile: this.profile, partials: this.partials, half: this.#half };
  }

  /**
   * Y [m, rows] = (alpha X [m, columns] Wᵀ (+ U Bᵀ with lora.v = B [rows, rank])) (times columnScale) (+ residual).
   * `range` takes only the weight's rows [first, last); y's columns then start at `first`'s result.
   */
  forward(
    weight: Weight,
    m: number,
    x: Rows,
    y: Rows,
    options: ProductOptions = {},
    range: readonly [number, number] = [0, weight.rows],
  ): void {
    for (const part of weight.parts) {
      const first = Math.max(range[0], part.firstRow);
      const last = Math.min(range[1], part.firstRow + part.rows);
      if (first >= last) continue;
      const column = first - range[0];
      const { lora, columnScale } = options;
      const product: Product = {
        ...options,
        lora: lora && { ...lora, v: { ...lora.v, offset: (lora.v.offset ?? 0) + column * lora.v.ld } },
        columnScale: columnScale && { ...columnScale, offset: columnScale.offset + column },
        m,
        n: last - first,
        k: weight.columns,
        x,
        y: { ...y, offset: (y.offset ?? 0) + column },
        residual: options.residual && { ...options.residual, offset: (options.residual.offset ?? 0) + column },
        weight,
        part,
        wOffset: part.offset + (first - part.firstRow) * weight.columns,
        flags: ['B_ROWS_N'],
      };
      if (!this.special?.(this.cmd, this.profile, product)) dispatch(this.cmd, this.#means, product);
    }
  }

  /**
   * dX [m, columns] = alpha dY [m, rows] W (+ dU A with lora.v = A [rank, columns]) (+ residual) (+ dX).
   * `range` as in `forward`: dY's first column belongs to row range[0].
   */
  backward(
    weight: Weight,
    m: number,
    dy: Rows,
    dx: Rows,
    options: ProductOptions = {},
    range: readonly [number, number] = [0, weight.rows],
  ): void {
    let { accumulate = false, lora, residual } = options;
    for (const part of weight.parts) {
      const first = Math.max(range[0], part.firstRow);
      const last = Math.min(range[1], part.firstRow + part.rows);
      if (first >= last) continue;
      dispatch(this.cmd, this.#means, {
        ...options,
        accumulate,
        lora,
        residual,
        m,
        n: weight.columns,
        k: last - first,
        x: { ...dy, offset: (dy.offset ?? 0) + first - range[0] },
        y: dx,
        weight,
        part,
        wOffset: part.offset + (first - part.firstRow) * weight.columns,
        flags: [],
      });
      // The parts of one matrix add up; the low-rank part and the residual come in once.
      accumulate = true;
      lora = undefined;
      residual = undefined;
    }
  }

  /**
   * dX [m, columns] = Σ dY_i W_i (+ dU A) (+ residual) (+ dX) of weights whose dY lie side by side in `dy`, as one product of f16
   * operands. Answers false, having done nothing, where that cannot be.
   */
  backwardStacked(weights: readonly Weight[], m: number, dy: Rows, dx: Rows, options: ProductOptions = {}): boolean {
    const half = this.#half;
    const [weight] = weights;
    const k = weights.reduce((sum, { rows }) => sum + rows, 0);
    const product = { ...options, m, n: weight.columns, k, x: dy, y: dx, weight, part: weight.parts[0], wOffset: 0 };
    const plain: Product = { ...product, flags: [] };
    if (!usesHalf(this.profile) || !half || m === 0 || !suitsMatrix(plain, this.profile)) return false;
    if (!half.stacks(weights) || !half.fits(m, k, k, weight.columns)) return false;
    const operands = { x: half.rows(m, k, dy), w: half.stacked(weights) };
    dispatch(this.cmd, this.#means, { ...plain, operands });
    return true;
  }

  /** G [rows, columns] = alpha Σ_t P[t, row] Q[t, column] (+ G): a weight's gradient, summed over tokens. */
  gradient(
    tokens: number,
    p: Rows & { columns: number },
    q: Rows & { columns: number },
    g: Rows,
    options: Pick<ProductOptions, 'alpha' | 'accumulate'> = {},
  ): void {
    const weight: Weight = {
      name: 'q',
      rows: tokens,
      columns: q.ld,
      format: 'F32',
      parts: [{ firstRow: 0, rows: tokens, data: q.view, offset: q.offset ?? 0 }],
      trainable: true,
    };
    dispatch(this.cmd, this.#means, {
      ...options,
      m: p.columns,
      n: q.columns,
      k: tokens,
      x: p,
      y: g,
      weight,
      part: weight.parts[0],
      wOffset: q.offset ?? 0,
      flags: ['A_ROWS_K'],
    });
  }
}
