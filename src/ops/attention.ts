/** Attention over packed runs, forward and backward, on fused rows [queries, keys, values]. */
import forwardSource from '../../shaders/attention.wgsl?raw';
import backwardKvSource from '../../shaders/attention_backward_kv.wgsl?raw';
import backwardQSource from '../../shaders/attention_backward_q.wgsl?raw';
import deltaSource from '../../shaders/attention_delta.wgsl?raw';
import directSource from '../../shaders/attention_direct.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { KernelProfile } from '../gpu/profile';
import { matrixAttention, matrixAttentionDelta } from './attention_matrix';
import { matrixAttentionShape } from './attention_matrix_shape';
import { type AttentionKind, attentionConstants, attentionShape } from './attention_shape';
import { itemGroups } from './rows';

export interface AttentionArgs {
  /** f32 [tokens, (heads + 2 kvHeads) headDim], queries and keys already turned. */
  qkv: View;
  /** The pack's tile table (see data/packing). */
  tiles: View;
  tileCount: number;
  tokens: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Mean number of keys that a query sees, for the cost estimate only. */
  span: number;
}

const SOURCES: Record<AttentionKind, string> = {
  FORWARD: forwardSource,
  BACKWARD_Q: backwardQSource,
  BACKWARD_KV: backwardKvSource,
};

/** Runs one of the three large kernels. `products` of the head dimension per query and key, for the estimate of its cost. */
function dispatch(
  cmd: Commands,
  profile: KernelProfile,
  kind: AttentionKind,
  a: AttentionArgs,
  views: Record<string, View>,
  products: number,
): void {
  const { heads, kvHeads, headDim, tileCount } = a;
  const params = { heads, kv_heads: kvHeads, ld: (heads + 2 * kvHeads) * headDim, scale: 1 / Math.sqrt(headDim) };
  const cost = 2 * products * a.tokens * a.span * heads * headDim;
  const onUnits = kind === 'FORWARD' || views.tops ? matrixAttentionShape(profile, kind, a) : null;
  if (onUnits) {
    matrixAttention(cmd, profile.matrix!, kind, onUnits, profile.attentionTile, a, views, cost);
    return;
  }
  const owners = kind === 'BACKWARD_KV' ? kvHeads : heads;
  if (profile.direct) {
    const constants = { TILE: profile.attentionTile, HEAD_DIM: headDim };
    const spec = { name: `attention direct ${kind}`, source: directSource, flags: [kind], constants };
    cmd.dispatch(spec, views, params, [tileCount, owners], cost);
    return;
  }
  const shape = attentionShape(profile, kind, a);
  const { constants, rounds } = attentionConstants(profile, kind, shape, a);
  const spec = { name: `attention ${kind}`, source: SOURCES[kind], constants };
  const parts = (profile.attentionTile * constants.SHARE) / shape.bm;
  cmd.dispatch(spec, views, { ...params, ...rounds }, [owners / constants.SHARE, tileCount * parts], cost);
}

/** out [tokens, heads headDim] and lse [tokens, heads]. */
export function attention(cmd: Commands, profile: KernelProfile, a: AttentionArgs, out: View, lse: View): void {
  dispatch(cmd, profile, 'FORWARD', a, { qkv: a.qkv, tiles: a.tiles, out, lse }, 2);
}

export interface AttentionGradients {
  out: View;
  lse: View;
  dOut: View;
  /** Scratch, f32 [tokens, heads]. */
  delta: View;
  /** Scratch like it, which the kernels for matrix units need; without it f32 kernels take the work. */
  tops?: View;
  /** Result, laid out as qkv. */
  dQkv: View;
}

export function attentionBackward(
  cmd: Commands,
  profile: KernelProfile,
  a: AttentionArgs,
  g: AttentionGradients,
): void {
  attentionDelta(cmd, a, g);
  attentionDQ(cmd, profile, a, g);
  attentionDKV(cmd, profile, a, g);
}

/** delta, which the other two read. */
export function attentionDelta(cmd: Commands, a: AttentionArgs, g: AttentionGradients): void {
  if (g.tops) {
    matrixAttentionDelta(cmd, a, g, g.tops);
    return;
  }
  const rows = a.tokens * a.heads;
  cmd.dispatch(
    { name: 'attention delta', source: deltaSource },
    { out: g.out, d_out: g.dOut, delta: g.delta },
    { count: rows, head_dim: a.headDim },
    itemGroups(rows),
    2 * rows * a.headDim,
  );
}

const gradientViews = (a: AttentionArgs, g: AttentionGradients) => ({
  qkv: a.qkv,
  tiles: a.tiles,
  d_out: g.dOut,
  lse: g.lse,
  delta: g.delta,
  ...(g.tops && { tops: g.tops }),
  d_qkv: g.dQkv,
});

/** The queries' part of dQkv. */
export function attentionDQ(cmd: Commands, profile: KernelProfile, a: AttentionArgs, g: AttentionGradients): void {
  dispatch(cmd, profile, 'BACKWARD_Q', a, gradientViews(a, g), 3);
}

/** The keys' and values' part of dQkv. */
export function attentionDKV(cmd: Commands, profile: KernelProfile, a: AttentionArgs, g: AttentionGradients): void {
  dispatch(cmd, profile, 'BACKWARD_KV', a, gradientViews(a, g), 4);
}
