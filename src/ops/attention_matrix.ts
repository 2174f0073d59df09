/** Attention's kernels for matrix units: their constants and dispatch. */
import forwardSource from '../../shaders/attention_matrix.wgsl?raw';
import deltaSource from '../../shaders/attention_matrix_delta.wgsl?raw';
import backwardKvSource from '../../shaders/attention_matrix_kv.wgsl?raw';
import backwardQSource from '../../shaders/attention_matrix_q.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { KernelSpec } from '../gpu/kernels';
import type { MatrixUnits } from '../gpu/tiers';
import type { AttentionArgs, AttentionGradients } from './attention';
import { type MatrixAttentionShape, rowLanes, shapeRows } from './attention_matrix_shape';
import type { AttentionKind } from './attention_shape';
import { rowGroups } from './rows';

const SOURCES: Record<AttentionKind, string> = {
  FORWARD: forwardSource,
  BACKWARD_Q: backwardQSource,
  BACKWARD_KV: backwardKvSource,
};

export function matrixAttentionSpec(
  kind: AttentionKind,
  shape: MatrixAttentionShape,
  { subgroup }: MatrixUnits,
  headDim: number,
  attentionTile: number,
): KernelSpec {
  const { sr, wm, wn, bn, heads, pad = 8 } = shape;
  const rows = shapeRows(shape);
  const threads = subgroup * wm * wn;
  const lanes = rowLanes(shape, subgroup);
  // Of the two products, the first is split between neighbouring subgroups forward, the second forward and for dQ.
  const scoreBlocks = bn / 16 / (kind === 'FORWARD' ? wn : 1);
  const blocks = headDim / 16 / (kind === 'BACKWARD_KV' ? 1 : wn);
  const outBlocks = Math.min(blocks, scoreBlocks);
  const constants = {
    SUBGROUP: subgroup,
    TILE: attentionTile,
    HEAD_DIM: headDim,
    SR: sr,
    WM: wm,
    WN: wn,
    SUBGROUPS: wm * wn,
    BN: bn,
    HEADS: heads,
    S_PAD: pad / 4,
    LANES: lanes,
    CHUNKS: headDim / bn,
    W_STEPS: bn / 16,
    S_BLOCKS: scoreBlocks,
    OUT_BLOCKS: outBlocks,
    OUT_CHUNKS: blocks / outBlocks,
    OUT_COLUMNS: Math.ceil((4 * outBlocks * (kind === 'FORWARD' ? wn : 1)) / lanes),
    A_LOADS: (rows * bn) / 4 / threads,
    B_LOADS: (bn * headDim) / 4 / threads,
    LANE_STEPS: (rows * lanes) / threads,
    COLUMNS: bn / 4 / lanes,
  };
  return { name: `attention matrix ${kind}`, source: SOURCES[kind], constants };
}

/** Parameters and workgroups of a kernel. */
function matrixAttentionWork(
  kind: AttentionKind,
  shape: MatrixAttentionShape,
  attentionTile: number,
  { heads, kvHeads, headDim, tileCount }: AttentionArgs,
): { params: Record<string, number>; workgroups: [number, number] } {
  const owners = kind === 'BACKWARD_KV' ? kvHeads : heads / shape.heads;
  const parts = (attentionTile * shape.heads) / shapeRows(shape);
  return {
    params: { heads, kv_heads: kvHeads, ld: (heads + 2 * kvHeads) * headDim, scale: 1 / Math.sqrt(headDim) },
    workgroups: [owners, tileCount * parts],
  };
}

/** Records one of the three large kernels. `views` as for its f32 twin, and for the backward ones `tops`. */
export function matrixAttention(
  cmd: Commands,
  units: MatrixUnits,
  kind: AttentionKind,
  shape: MatrixAttentionShape,
  attentionTile: number,
  a: AttentionArgs,
  views: Record<string, View>,
  cost: number,
): void {
  const { params, workgroups } = matrixAttentionWork(kind, shape, attentionTile, a);
  cmd.dispatch(matrixAttentionSpec(kind, shape, units, a.headDim, attentionTile), views, params, workgroups, cost);
}

/** delta, and `tops` (f32 [tokens, heads]), the largest |dOut| of each row: what the two backward kernels read. */
export function matrixAttentionDelta(cmd: Commands, a: AttentionArgs, g: AttentionGradients, tops: View): void {
  const rows = a.tokens * a.heads;
  cmd.dispatch(
    { name: 'attention matrix delta', source: deltaSource },
    { out: g.out, d_out: g.dOut, delta: g.delta, tops },
    { count: rows, head_dim: a.headDim },
    rowGroups(Math.ceil(rows / 64)),
    2 * rows * a.headDim,
  );
}
