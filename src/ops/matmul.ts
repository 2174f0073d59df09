/** Matrix products with frozen or trainable weights, in both directions, with LoRA in the epilogue. */
import source from '../../shaders/matmul.wgsl?raw';
import directSource from '../../shaders/matmul_direct.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { KernelProfile, MatmulTile } from '../gpu/profile';
import { nestedParams, type Weight, type WeightPart, weightBindings, weightFlag } from './weight';

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
}

interface Product extends ProductOptions {
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
}

const NONE: Rows = { view: { buffer: undefined as unknown as GPUBuffer }, ld: 0 };

export function pickTile(profile: KernelProfile, m: number, n: number): MatmulTile {
  const { large, small } = profile;
  const fills = Math.ceil(m / large.bm) * Math.ceil(n / large.bn) >= 64;
  return fills && n >= large.bn && m >= large.bm / 2 ? large : small;
}

function dispatch(cmd: Commands, profile: KernelProfile, product: Product): void {
  const { m, n, k, x, y, weight, part, lora, columnScale, residual } = product;
  if (m === 0 || n === 0) return;
  const tile = pickTile(profile, m, n);
  const flags = [...product.flags, weightFlag(weight)];
  if (lora) flags.push('LORA');
  if (columnScale) flags.push('COLUMN_SCALE');
  if (residual) flags.push('RESIDUAL');
  const u = lora?.u ?? NONE;
  const v = lora?.v ?? NONE;
  const r = residual ?? NONE;
  cmd.dispatch(
    profile.direct
      ? {
          name: `matmul direct ${flags.join(' ')}`,
          source: directSource,
          flags,
          constants: { THREADS_M: tile.bm / 16, THREADS_N: tile.bn / 4 },
        }
      : {
          name: `matmul ${flags.join(' ')}`,
          source,
          flags,
          constants: { BM: tile.bm, BN: tile.bn, BK: tile.bk, TM: tile.tm, TN: tile.tn },
        },
    {
      x: x.view,
      ...weightBindings(weight, part),
      y: y.view,
      u: u.view,
      v: v.view,
      residual: r.view,
      ...(columnScale && { column_scale: columnScale.view }),
    },
    {
      M: m,
      N: n,
      K: k,
      ldx: x.ld,
      x_offset: x.offset ?? 0,
      ldw: weight.columns,
      w_offset: product.wOffset,
      ldy: y.ld,
      y_offset: y.offset ?? 0,
      ldr: r.ld,
      r_offset: r.offset ?? 0,
      rank: lora?.rank ?? 0,
      ldu: u.ld,
      u_offset: u.offset ?? 0,
      ldv: v.ld,
      v_offset: v.offset ?? 0,
      alpha: product.alpha ?? 1,
      accumulate: product.accumulate ? 1 : 0,
      s_offset: columnScale?.offset ?? 0,
      ...nestedParams(weight, part),
    },
    [Math.ceil(n / tile.bn), Math.ceil(m / tile.bm)],
    2 * m * n * (k + (lora?.rank ?? 0)),
  );
}

export class MatmulOps {
  readonly cmd: Commands;
  readonly profile: KernelProfile;

  constructor(cmd: Commands, profile: KernelProfile) {
    this.cmd = cmd;
    this.profile = profile;
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
      dispatch(this.cmd, this.profile, {
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
      });
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
      dispatch(this.cmd, this.profile, {
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
    };
    dispatch(this.cmd, this.profile, {
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
