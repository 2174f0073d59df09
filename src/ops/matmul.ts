/** Matrix products with frozen or trainable weights, in both directions, with LoRA in the epilogue. */
import type { Commands } from '../gpu/commands';
import { type KernelProfile, usesHalf } from '../gpu/profile';
import { expandsNf4 } from './expand-choice';
import { expandedPart } from './expanded-weight';
import type { HalfRows } from './half';
import { FEWEST_ROWS, suitsMatrix } from './matmul_matrix';
import { type Product, type ProductOptions, productOf, type Rows } from './product';
import { type Means, recordProduct } from './record-product';
import type { Weight } from './weight';

/** Records a forward product with a kernel of its own and answers true, or leaves it alone. */
export type ForwardKernel = (cmd: Commands, profile: KernelProfile, product: Product) => boolean;

/** What products may use beside the device. */
export interface ProductMeans extends Means {
  /** Asked first for every forward product. */
  special?: ForwardKernel;
}

/** Rows that begin `columns` values later. */
const shifted = (rows: Rows, columns: number): Rows =>
  columns === 0 ? rows : { ...rows, offset: (rows.offset ?? 0) + columns };

/** Options of a product whose columns begin `columns` later. */
function shiftedOptions(options: ProductOptions, columns: number): ProductOptions {
  const { lora, columnScale, residual } = options;
  return {
    ...options,
    lora: lora && { ...lora, v: shifted(lora.v, columns * lora.v.ld) },
    columnScale: columnScale && { ...columnScale, offset: columnScale.offset + columns },
    residual: residual && shifted(residual, columns),
  };
}

const totalRows = (weights: readonly Weight[]): number => weights.reduce((sum, { rows }) => sum + rows, 0);

export class MatmulOps {
  readonly cmd: Commands;
  readonly profile: KernelProfile;
  readonly #means: ProductMeans;

  constructor(cmd: Commands, profile: KernelProfile, means: ProductMeans = {}) {
    this.cmd = cmd;
    this.profile = profile;
    this.#means = means;
  }

  /** x [m, k] as f16 for the `half` of several products; undefined where they would not use it. Good until the next product. */
  half(m: number, k: number, x: Rows): HalfRows | undefined {
    if (!usesHalf(this.profile) || m < FEWEST_ROWS || k % 32 !== 0 || !this.#means.half?.fits(m, k)) return undefined;
    return this.#means.half.rows(m, k, x);
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
      const wOffset = part.offset + (first - part.firstRow) * weight.columns;
      const [n, k] = [last - first, weight.columns];
      const shape = { m, n, k, x, y: shifted(y, column), weight, part, wOffset, flags: 'B_ROWS_N' as const };
      const product = productOf(shape, column > 0 ? shiftedOptions(options, column) : options);
      if (!this.#means.special?.(this.cmd, this.profile, product)) this.#record(product);
    }
  }

  /**
   * dX [m, columns] = alpha dY [m, rows] W (+ dU A with lora.v = A [rank, columns]) (+ residual) (+ dX). With `starts` (see takesStarts)
   * [dX_1, …] = alpha [dY_1 W_1, …].
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
    let rest = options;
    for (const part of weight.parts) {
      const first = Math.max(range[0], part.firstRow);
      const last = Math.min(range[1], part.firstRow + part.rows);
      if (first >= last) continue;
      const wOffset = part.offset + (first - part.firstRow) * weight.columns;
      const [n, k, x] = [weight.columns, last - first, shifted(dy, first - range[0])];
      this.#record(productOf({ m, n, k, x, y: dx, weight, part, wOffset, flags: '' }, rest));
      // The parts of one matrix add up; the low-rank part and the residual come in once.
      if (weight.parts.length > 1) rest = { ...rest, accumulate: true, lora: undefined, residual: undefined };
    }
  }

  /**
   * [Y_1, Y_2, …] [m, rows of all] = X [m, columns] [W_1; W_2; …]ᵀ (+ [U_1 B_1ᵀ, …] with lora.v = [B_1; …] and starts) (times
   * columnScale) as one product of f16 operands. Answers false, having done nothing, where that cannot be.
   */
  forwardStacked(weights: readonly Weight[], m: number, x: Rows, y: Rows, options: ProductOptions = {}): boolean {
    const [weight] = weights;
    const [n, k] = [totalRows(weights), weight.columns];
    const shape = { m, n, k, x, y, weight, part: weight.parts[0], wOffset: 0, flags: 'B_ROWS_N' as const };
    return m > 0 && this.#halfStacked(weights, productOf(shape, options));
  }

  /**
   * dX [m, columns] = Σ dY_i W_i (+ dU A) (+ residual) (+ dX) of weights whose dY lie side by side in `dy`, as one product with all
   * of them in scratch. Answers false, having done nothing, where that cannot be.
   */
  backwardStacked(weights: readonly Weight[], m: number, dy: Rows, dx: Rows, options: ProductOptions = {}): boolean {
    const { expanded } = this.#means;
    const [weight] = weights;
    const k = totalRows(weights);
    const shape = {
      m,
      n: weight.columns,
      k,
      x: dy,
      y: dx,
      weight,
      part: weight.parts[0],
      wOffset: 0,
      flags: '' as const,
    };
    const plain = productOf(shape, options);
    if (m === 0) return false;
    if (expanded && weights.every((w) => expandsNf4(this.profile, w, m)) && expanded.stacks(weights)) {
      this.#record({ ...plain, ...expandedPart(expanded.takeStacked(weights), k, weight.columns) });
      return true;
    }
    return this.#halfStacked(weights, plain);
  }

  /** A product with such weights, of f16 operands. */
  #halfStacked(weights: readonly Weight[], product: Product): boolean {
    const { half } = this.#means;
    const { m, k, x } = product;
    if (!usesHalf(this.profile) || !half || !suitsMatrix(product, this.profile)) return false;
    if (!half.w.stacks(weights) || !half.fits(m, k)) return false;
    const operands = { x: half.rows(m, k, x), w: half.w.takeStacked(weights) };
    this.#record({ ...product, operands });
    return true;
  }

  /**
   * G [rows, columns] = alpha Σ_t P[t, row] Q[t, column] (+ G): a weight's gradient, summed over tokens. With `starts` (see
   * takesStarts) those of several one below the other, each with `columns` columns of Q.
   */
  gradient(
    tokens: number,
    p: Rows & { columns: number },
    q: Rows & { columns: number },
    g: Rows,
    options: Pick<ProductOptions, 'alpha' | 'accumulate' | 'starts'> = {},
  ): void {
    const weight: Weight = {
      name: 'q',
      rows: tokens,
      columns: q.ld,
      format: 'F32',
      parts: [{ firstRow: 0, rows: tokens, data: q.view, offset: q.offset ?? 0 }],
      trainable: true,
    };
    const wOffset = q.offset ?? 0;
    const [m, n, part] = [p.columns, q.columns, weight.parts[0]];
    this.#record(productOf({ m, n, k: tokens, x: p, y: g, weight, part, wOffset, flags: 'A_ROWS_K' }, options));
  }

  #record(product: Product): void {
    recordProduct(this.cmd, this.profile, this.#means, product);
  }
}
