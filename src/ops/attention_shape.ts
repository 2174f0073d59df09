/** How attention's kernels are cut to a device: tiles, threads and what lies in workgroup memory. */
import type { KernelProfile } from '../gpu/profile';

export type AttentionKind = 'FORWARD' | 'BACKWARD_Q' | 'BACKWARD_KV';

/** See shaders/lib/attention_tile.wgsl. All are powers of two. */
export interface AttentionShape {
  /** Rows that a workgroup owns, and rows that it walks over at a time. */
  bm: number;
  bn: number;
  /** Scores of a thread. */
  tm: number;
  tn: number;
  /** Values of the head dimension staged at a time. */
  dc: number;
  /** Walked rows that are staged at a time with all their values: a multiple of 4 that divides bn. */
  rows: number;
  /** Forward and dQ: at most so many heads with the same keys share a workgroup. 1 when absent. */
  share?: number;
  /** Values of the inner dimension that are unrolled, 16 when absent. */
  unroll?: number;
}

/** Heads of a kernel: queries' and keys', values of each. */
export interface Heads {
  heads: number;
  kvHeads: number;
  headDim: number;
}

/** Bytes of workgroup memory. */
export function attentionBytes(kind: AttentionKind, shape: AttentionShape, headDim: number): number {
  const { bm, bn, tm, tn, dc, rows } = shape;
  const lanes = { x: Math.min(8, bn / tn), y: Math.min(4, bm / tm) };
  const operands = (bm * dc) / 4 + lanes.y + (bn * dc) / 4 + lanes.x;
  const weights = (bm * bn) / 4 + lanes.y + (rows * headDim) / 4;
  const rest = { FORWARD: bm, BACKWARD_Q: 0, BACKWARD_KV: 2 * bn }[kind];
  return 16 * Math.max(operands, weights) + 4 * rest;
}

/** Query heads that share a workgroup: a power of two. */
export function sharedHeads(kind: AttentionKind, { share = 1 }: AttentionShape, { heads, kvHeads }: Heads): number {
  const group = heads / kvHeads;
  return kind === 'BACKWARD_KV' ? 1 : Math.min(share, group & -group);
}

/**
 * What measured fastest with heads of 64 and of 128 (docs/performance.md), first what is taken where it fits. An NVIDIA GPU
 * gives a processor about 48 KiB of workgroup memory in all through Vulkan: shapes of less than 24 KiB run two at a time.
 */
const SHAPES: Record<AttentionKind, { upTo64: AttentionShape[]; wider: AttentionShape[] }> = {
  FORWARD: {
    upTo64: [{ bm: 64, bn: 64, tm: 8, tn: 4, dc: 32, rows: 16, share: 4, unroll: 32 }],
    wider: [
      { bm: 128, bn: 64, tm: 8, tn: 4, dc: 32, rows: 16, share: 4 },
      { bm: 64, bn: 64, tm: 8, tn: 4, dc: 32, rows: 8, share: 4 },
    ],
  },
  BACKWARD_Q: {
    upTo64: [
      { bm: 128, bn: 32, tm: 4, tn: 4, dc: 32, rows: 16, share: 4 },
      { bm: 64, bn: 32, tm: 4, tn: 4, dc: 32, rows: 16, share: 4 },
    ],
    wider: [
      { bm: 64, bn: 64, tm: 4, tn: 4, dc: 64, rows: 32, share: 4 },
      { bm: 64, bn: 64, tm: 4, tn: 4, dc: 32, rows: 8, share: 4 },
    ],
  },
  BACKWARD_KV: {
    upTo64: [
      { bm: 64, bn: 64, tm: 4, tn: 4, dc: 64, rows: 64 },
      { bm: 64, bn: 64, tm: 4, tn: 4, dc: 32, rows: 32 },
    ],
    wider: [
      { bm: 64, bn: 64, tm: 4, tn: 4, dc: 32, rows: 32 },
      { bm: 64, bn: 64, tm: 4, tn: 4, dc: 32, rows: 8 },
    ],
  },
};

/** The shape of a kernel on a device. */
export function attentionShape(profile: KernelProfile, kind: AttentionKind, heads: Heads): AttentionShape {
  const named = profile.attention?.[kind];
  if (named) return named;
  const { attentionTile: tile, attentionMemory = 16384 } = profile;
  const { headDim } = heads;
  const fits = (shape: AttentionShape) =>
    shape.bm <= tile * sharedHeads(kind, shape, heads) && attentionBytes(kind, shape, headDim) <= attentionMemory;
  // Chunks are a power of two that divides the head dimension.
  const most = headDim & -headDim;
  for (const shape of tile >= 64 ? SHAPES[kind][headDim <= 64 ? 'upTo64' : 'wider'] : []) {
    const own = { ...shape, dc: Math.min(shape.dc, most) };
    if (fits(own)) return own;
  }
  const least: AttentionShape = { bm: tile, bn: tile, tm: 4, tn: 4, dc: Math.min(32, most), rows: Math.min(tile, 16) };
  while (least.rows > 4 && !fits(least)) least.rows /= 2;
  while (least.dc > 4 && !fits(least)) least.dc /= 2;
  return least;
}

/** Constants of the kernel, and the rounds of its loops. */
export function attentionConstants(
  profile: KernelProfile,
  kind: AttentionKind,
  shape: AttentionShape,
  heads: Heads,
): { constants: Record<string, number>; rounds: { groups: number; wide_groups: number } } {
  const { bm, bn, tm, tn, dc, rows, unroll = 16 } = shape;
  const rounds = (quads: number) => quads / Math.min(quads, unroll / 4);
  return {
    constants: {
      TILE: profile.attentionTile,
      HEAD_DIM: heads.headDim,
      SHARE: sharedHeads(kind, shape, heads),
      BM: bm,
      BN: bn,
      TM: tm,
      TN: tn,
      DC: dc,
      WALKED_ROWS: rows,
      UNROLL: unroll,
      PRODUCTS: kind === 'FORWARD' ? 1 : 2,
      SUMS: kind === 'BACKWARD_KV' ? 2 : 1,
    },
    rounds: { groups: rounds(dc / 4), wide_groups: rounds(rows / 4) },
  };
}
