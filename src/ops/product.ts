/** A matrix product as its kernels see it: operands, options, and what they bind. */
import type { View } from '../gpu/commands';
import type { HalfRows } from './half';
import type { Weight, WeightPart } from './weight';

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
  /** Of weights one below the other, up to three: where the second and the third begin. Each has a low-rank part of its own, side by side. */
  starts?: readonly number[];
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
  /** Which operand lies how: B_ROWS_N forward, A_ROWS_K for gradients of weights. */
  flags: '' | 'B_ROWS_N' | 'A_ROWS_K';
  /** Both operands as f16, where they were made before. */
  operands?: HalfPair;
}

/** What a product is of, without the options. */
export type ProductShape = Omit<Product, keyof ProductOptions | 'operands'>;

/** All products are objects of one kind, with the same fields in the same order: so those that read them stay fast. */
export function productOf(shape: ProductShape, options: ProductOptions): Product {
  const { m, n, k, x, y, weight, part, wOffset, flags } = shape;
  const { alpha, accumulate, lora, columnScale, residual, starts, half } = options;
  const operands = undefined;
  return {
    m,
    n,
    k,
    x,
    y,
    weight,
    part,
    wOffset,
    flags,
    alpha,
    accumulate,
    lora,
    columnScale,
    residual,
    starts,
    half,
    operands,
  };
}

/** Both operands as f16. */
export interface HalfPair {
  x: HalfRows;
  w: View;
}

/** How a kernel goes through K: in tiles, of which it unrolls one in `groups`, and in `splits` parts of `splitTiles` tiles each. */
export interface Steps {
  groups: number;
  splits: number;
  splitTiles: number;
}

const WHOLE: Steps = { groups: 0, splits: 1, splitTiles: 0 };

/**
 * The buffers of lib/product.wgsl and lib/weight.wgsl, undefined where the product has none. Like `productParams` one plain object: a
 * step makes thousands, and putting them together from parts took as long as recording them.
 */
export function productBindings(product: Product, half?: HalfPair): Record<string, View | undefined> {
  const { x, y, weight, part, lora, residual, columnScale } = product;
  return {
    x: half ? half.x.x : x.view,
    factors: half?.x.factors,
    w: half ? half.w : part.data,
    scales: weight.scales,
    y: y.view,
    u: lora?.u.view,
    v: lora?.v.view,
    residual: residual?.view,
    column_scale: columnScale?.view,
  };
}

/** A column that no product has. */
const NEVER = 2 ** 32 - 1;

/** The parameters of lib/product.wgsl. */
export function productParams(product: Product, steps: Steps = WHOLE, half?: HalfPair): Record<string, number> {
  const { m, n, k, x, y, weight, part, lora, residual, columnScale, starts, alpha = 1, accumulate } = product;
  return {
    M: m,
    N: n,
    K: k,
    ldx: half ? half.x.k : x.ld,
    x_offset: half ? 0 : (x.offset ?? 0),
    ldw: weight.columns,
    w_offset: half ? 0 : product.wOffset,
    ldy: y.ld,
    y_offset: y.offset ?? 0,
    ldr: residual?.ld ?? 0,
    r_offset: residual?.offset ?? 0,
    rank: lora?.rank ?? 0,
    ldu: lora?.u.ld ?? 0,
    u_offset: lora?.u.offset ?? 0,
    ldv: lora?.v.ld ?? 0,
    v_offset: lora?.v.offset ?? 0,
    second: starts?.[0] ?? NEVER,
    third: starts?.[1] ?? NEVER,
    alpha,
    accumulate: accumulate ? 1 : 0,
    s_offset: columnScale?.offset ?? 0,
    nested_blocks: weight.nestedBlocks ?? 0,
    nested_offset: weight.nestedOffset ?? 0,
    nested_first: part.firstRow * weight.columns,
    k_groups: steps.groups,
    split_tiles: steps.splitTiles,
    y_split: steps.splits > 1 ? m * y.ld : 0,
  };
}

/** Flags of a product's kernel, one space between them, that what rides in its epilogue adds to `flags`. */
export function epilogueFlags(flags: string, { lora, columnScale, residual }: Product): string {
  return flags + (lora ? ' LORA' : '') + (columnScale ? ' COLUMN_SCALE' : '') + (residual ? ' RESIDUAL' : '');
}
