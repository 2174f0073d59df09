/** Attention over packed runs, forward and backward, on fused rows [queries, keys, values]. */
import forwardSource from '../../shaders/attention.wgsl?raw';
import backwardKvSource from '../../shaders/attention_backward_kv.wgsl?raw';
import backwardQSource from '../../shaders/attention_backward_q.wgsl?raw';
import deltaSource from '../../shaders/attention_delta.wgsl?raw';
import directSource from '../../shaders/attention_direct.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { KernelSpec } from '../gpu/kernels';
import type { KernelProfile } from '../gpu/profile';
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

type Kind = 'FORWARD' | 'BACKWARD_Q' | 'BACKWARD_KV';

function constants(profile: KernelProfile, kind: Kind, headDim: number): Record<string, number> {
  const { attentionTile: tile, attentionDepth = 16 } = profile;
  // Eight rows a thread read workgroup memory less often; the softmax of the forward would rather have more threads.
  const tm = kind !== 'FORWARD' && tile >= 32 ? 8 : 4;
  const depth = kind === 'FORWARD' ? 16 : attentionDepth;
  const dk = [depth, 16, 8].find((n) => headDim % n === 0) ?? 4;
  return {
    TILE: tile,
    HEAD_DIM: headDim,
    DK: dk,
    BM: tile,
    BN: tile,
    BK: dk,
    TM: tm,
    TN: 4,
    STAGES: 1,
    UNROLL: 8,
    LANES_X: Math.min(8, tile / 4),
    LANES_Y: Math.min(4, tile / tm),
  };
}

const SOURCES: Record<Kind, string> = {
  FORWARD: forwardSource,
  BACKWARD_Q: backwardQSource,
  BACKWARD_KV: backwardKvSource,
};

const kernel = (profile: KernelProfile, kind: Kind, headDim: number): KernelSpec =>
  profile.direct
    ? {
        name: `attention direct ${kind}`,
        source: directSource,
        flags: [kind],
        constants: { TILE: profile.attentionTile, HEAD_DIM: headDim },
      }
    : {
        name: `attention ${kind}`,
        source: SOURCES[kind],
        // Both sides of a score block are staged along the head dimension; OUT_ROWS: the outputs' gradient is on its left.
        flags: kind === 'BACKWARD_Q' ? ['A_ROWS_K', 'OUT_ROWS'] : ['A_ROWS_K'],
        constants: constants(profile, kind, headDim),
      };

const params = (a: AttentionArgs) => ({
  heads: a.heads,
  kv_heads: a.kvHeads,
  ld: (a.heads + 2 * a.kvHeads) * a.headDim,
  scale: 1 / Math.sqrt(a.headDim),
});

const cost = (a: AttentionArgs, products: number) => 2 * products * a.tokens * a.span * a.heads * a.headDim;

/** out [tokens, heads headDim] and lse [tokens, heads]. */
export function attention(cmd: Commands, profile: KernelProfile, a: AttentionArgs, out: View, lse: View): void {
  cmd.dispatch(
    kernel(profile, 'FORWARD', a.headDim),
    { qkv: a.qkv, tiles: a.tiles, out, lse },
    params(a),
    [a.tileCount, a.heads],
    cost(a, 2),
  );
}

export interface AttentionGradients {
  out: View;
  lse: View;
  dOut: View;
  /** Scratch, f32 [tokens, heads]. */
  delta: View;
  /** Result, laid out as qkv. */
  dQkv: View;
}

export function attentionBackward(
  cmd: Commands,
  profile: KernelProfile,
  a: AttentionArgs,
  g: AttentionGradients,
): void {
  const rows = a.tokens * a.heads;
  cmd.dispatch(
    { name: 'attention delta', source: deltaSource },
    { out: g.out, d_out: g.dOut, delta: g.delta },
    { count: rows, head_dim: a.headDim },
    itemGroups(rows),
    2 * rows * a.headDim,
  );
  const views = { qkv: a.qkv, tiles: a.tiles, d_out: g.dOut, lse: g.lse, delta: g.delta, d_qkv: g.dQkv };
  cmd.dispatch(kernel(profile, 'BACKWARD_Q', a.headDim), views, params(a), [a.tileCount, a.heads], cost(a, 3));
  cmd.dispatch(kernel(profile, 'BACKWARD_KV', a.headDim), views, params(a), [a.tileCount, a.kvHeads], cost(a, 4));
}
