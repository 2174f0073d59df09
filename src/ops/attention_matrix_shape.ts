/** How attention's kernels for matrix units are cut to a device and to a model's heads. */
import type { KernelProfile } from '../gpu/profile';
import type { AttentionKind } from './attention_shape';

/** See shaders/lib/attention_matrix.wgsl. */
export interface MatrixAttentionShape {
  /** Blocks of 16 owned rows that a subgroup has. */
  sr: number;
  /** Subgroups along the owned rows, and side by side: backward 2. */
  wm: number;
  wn: number;
  /** Rows that are walked over at a time, a multiple of 16 that divides the head dimension. */
  bn: number;
  /** Heads of one workgroup, which share keys and values. 1 where keys are owned. */
  heads: number;
  /** Values that a row of scores is padded by, a multiple of 4; 8 when absent. */
  pad?: number;
}

/** Rows that a workgroup owns: as many tokens of each of its heads. */
export const shapeRows = ({ sr, wm }: MatrixAttentionShape): number => 16 * sr * wm;

/** Threads that share a row of scores, four of them each at a time. */
export const rowLanes = ({ bn }: MatrixAttentionShape, subgroup: number): number => Math.min(8, bn / 4, subgroup);

/** Bytes of workgroup memory. */
export function matrixAttentionBytes(kind: AttentionKind, shape: MatrixAttentionShape, headDim: number): number {
  const { wm, wn, bn, pad = 8 } = shape;
  const rows = shapeRows(shape);
  const walked = 2 * bn * (headDim + 8);
  const scores = 4 * rows * (bn + pad);
  const weights = 2 * rows * (bn + 8);
  if (kind === 'FORWARD') return 2 * walked + scores + weights + 4 * wm * wn;
  if (kind === 'BACKWARD_Q') return 3 * walked + 2 * scores + weights;
  return 2 * (walked + scores + weights);
}

/** Workgroups are made of at most this many threads. */
const MOST_THREADS = 256;

/** Whether a device and the table's tiles can be cut like that. */
function suits(
  { matrix, attentionTile, attentionMemory = 16384 }: KernelProfile,
  kind: AttentionKind,
  shape: MatrixAttentionShape,
  headDim: number,
): boolean {
  const { wm, wn, bn } = shape;
  const { subgroup } = matrix!;
  const threads = subgroup * wm * wn;
  const rows = shapeRows(shape);
  const tokens = rows / shape.heads;
  const whole = [
    tokens / 16,
    attentionTile / tokens,
    (bn * headDim) / 4 / threads,
    (rows * bn) / 4 / threads,
    rows / (wm * wn) / (subgroup / rowLanes(shape, subgroup)),
  ];
  return (
    threads <= MOST_THREADS &&
    headDim % bn === 0 &&
    whole.every((count) => count >= 1 && Number.isInteger(count)) &&
    matrixAttentionBytes(kind, shape, headDim) <= attentionMemory
  );
}

type Shapes = Record<AttentionKind, Omit<MatrixAttentionShape, 'heads'>[]>;

/** For heads of some width what measured fastest (docs/performance.md), then what needs fewer heads together, or less memory. */
const SHAPES: Record<number, Shapes> = {
  64: {
    FORWARD: [
      { sr: 1, wm: 4, wn: 1, bn: 32, pad: 4 },
      { sr: 1, wm: 4, wn: 1, bn: 16 },
    ],
    BACKWARD_Q: [
      { sr: 1, wm: 4, wn: 2, bn: 16 },
      { sr: 1, wm: 2, wn: 2, bn: 16 },
    ],
    BACKWARD_KV: [
      { sr: 1, wm: 2, wn: 2, bn: 32, pad: 4 },
      { sr: 1, wm: 2, wn: 2, bn: 16 },
    ],
  },
  128: {
    FORWARD: [
      { sr: 1, wm: 8, wn: 1, bn: 32 },
      { sr: 1, wm: 4, wn: 1, bn: 32 },
      { sr: 1, wm: 4, wn: 1, bn: 16 },
    ],
    BACKWARD_Q: [
      { sr: 1, wm: 4, wn: 2, bn: 16 },
      { sr: 1, wm: 2, wn: 2, bn: 16 },
    ],
    BACKWARD_KV: [
      { sr: 1, wm: 4, wn: 2, bn: 32, pad: 4 },
      { sr: 1, wm: 2, wn: 2, bn: 16 },
    ],
  },
};

/** The shape of a kernel; null where matrix units are not for it: the f32 kernels take such. */
export function matrixAttentionShape(
  profile: KernelProfile,
  kind: AttentionKind,
  { heads, kvHeads, headDim }: { heads: number; kvHeads: number; headDim: number },
): MatrixAttentionShape | null {
  const shapes = SHAPES[headDim];
  // A shape that is named is one of the f32 kernels.
  if (profile.direct || profile.attention?.[kind]) return null;
  if (profile.matrix?.spelling !== 'template' || !shapes) return null;
  const share = heads / kvHeads;
  const together = kind === 'BACKWARD_KV' ? [1] : [4, 3, 2, 1].filter((count) => share % count === 0);
  for (const shape of shapes[kind]) {
    for (const count of together) {
      const own = { ...shape, heads: count };
      if (suits(profile, kind, own, headDim)) return own;
    }
  }
  return null;
}
