/** DoRA: per-row norms of W + s B A, the factors they give, and the gradient of the magnitudes. */
import backwardSource from '../../shaders/dora_backward.wgsl?raw';
import scaleSource from '../../shaders/dora_scale.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { KernelProfile } from '../gpu/profile';
import type { Rows } from './product';
import { rowConstants, rowGroups } from './rows';
import { nestedParams, type Weight, weightBindings, weightFlag } from './weight';

/** Where a module's A [rank, in], B [out, rank] and magnitudes [out] lie in their slab, and its factors in `scale`. */
export interface DoraModule {
  slab: View;
  a: number;
  b: number;
  magnitude: number;
  rank: number;
  /** s: alpha / r, or alpha / sqrt(r). */
  loraScale: number;
  /** c = magnitude / norm from `factors` on, 1 / norm from `inverses` on. */
  scale: View;
  factors: number;
  inverses: number;
}

/** Sets a module's factors from the weights and the adapter as they are; with `start` also its magnitudes, to the norm. */
export function doraScale(cmd: Commands, profile: KernelProfile, weight: Weight, m: DoraModule, start = false): void {
  const flags = [weightFlag(weight), ...(start ? ['START'] : [])];
  for (const part of weight.parts) {
    cmd.dispatch(
      { name: `dora scale ${flags.join(' ')}`, source: scaleSource, flags, constants: rowConstants(profile) },
      { slab: m.slab, ...weightBindings(weight, part), scale: m.scale },
      {
        rows: part.rows,
        columns: weight.columns,
        first_row: part.firstRow,
        rank: m.rank,
        a_offset: m.a,
        b_offset: m.b,
        m_offset: m.magnitude,
        s_offset: m.factors,
        i_offset: m.inverses,
        lora_scale: m.loraScale,
        ...nestedParams(weight, part),
      },
      rowGroups(part.rows / 4),
      2 * part.rows * weight.columns * (m.rank + 1),
    );
  }
}

/**
 * grad.magnitude (+)= Σ_t dy y / norm, and c dy into `dy`, or into `y` when `into` says so.
 * @param y the projection without its factors: x Wᵀ + s (x Aᵀ) Bᵀ
 * @param grad the slab of gradients, laid out as the module's slab
 */
export function doraBackward(
  cmd: Commands,
  profile: KernelProfile,
  tokens: number,
  columns: number,
  m: DoraModule,
  dy: Rows,
  y: Rows,
  grad: View,
  { into, accumulate }: { into: 'dy' | 'y'; accumulate: boolean },
): void {
  const shape = profile.direct ? { COLUMNS: 4, STRIPS: 1 } : { COLUMNS: 16, STRIPS: 8 };
  const flags = into === 'y' ? ['INTO_Y'] : [];
  cmd.dispatch(
    { name: `dora backward ${flags.join(' ')}`, source: backwardSource, flags, constants: shape },
    { dy: dy.view, y: y.view, scale: m.scale, grad },
    {
      tokens,
      columns,
      ldd: dy.ld,
      d_offset: dy.offset ?? 0,
      ldy: y.ld,
      y_offset: y.offset ?? 0,
      g_offset: m.magnitude,
      s_offset: m.factors,
      i_offset: m.inverses,
      accumulate: accumulate ? 1 : 0,
    },
    [Math.ceil(columns / 4 / shape.COLUMNS)],
    4 * tokens * columns,
  );
}
