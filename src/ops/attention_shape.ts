/** How attention's kernels are cut to a device: tiles, threads and what of them stays in workgroup memory. */
import type { KernelProfile } from '../gpu/profile';

export type AttentionKind = 'FORWARD' | 'BACKWARD_Q' | 'BACKWARD_KV';

/** See shaders/lib/attention_tile.wgsl. All are powers of two. */
export interface AttentionShape {
  /** Rows that a workgroup owns, a part of the profile's attentionTile, and rows that it walks over at a time. */
  bm: number;
  bn: number;
  /** Scores of a thread. */
  tm: number;
  tn: number;
  /** Values of the head dimension staged at a time. */
  dc: number;
  /** The owned rows stay in workgroup memory for the whole walk. */
  keep?: boolean;
  /** Backward: rows are staged once for both products that read them. */
  both?: boolean;
  /** Forward: the next rows are loaded while these are multiplied. */
  prefetch?: boolean;
  /** Values of the inner dimension that are unrolled, 16 when absent. */
  unroll?: number;
}

/** Walked rows that are staged with all their values, where they are not staged whole anyway. */
function wideRows({ bn, dc }: AttentionShape, headDim: number): number {
  let rows = 4;
  while (rows * 2 <= bn && rows * 2 * headDim <= bn * dc) rows *= 2;
  return rows;
}

/** Bytes of workgroup memory. */
export function attentionBytes(kind: AttentionKind, shape: AttentionShape, headDim: number): number {
  const { bm, bn, dc, keep, both } = shape;
  const chunks = headDim / dc;
  const [a, b, weights] = [bm * dc, bn * dc, bm * bn];
  const one = Math.max(b, wideRows(shape, headDim) * headDim);
  if (kind === 'FORWARD') return 4 * ((keep ? chunks * a : a) + one + weights + bm);
  if (kind === 'BACKWARD_Q')
    return 4 * ((keep ? 2 * chunks * a : a) + (both ? chunks * b + Math.max(weights, b) : one + weights));
  return 4 * ((keep ? 2 * chunks * a + weights : Math.max(a, weights)) + (both ? 2 * chunks * b : one));
}

/** What measured fastest (docs/performance.md), the most demanding first. */
const SHAPES: Record<AttentionKind, AttentionShape[]> = {
  FORWARD: [
    { bm: 64, bn: 64, tm: 4, tn: 4, dc: 32, keep: true },
    { bm: 64, bn: 64, tm: 4, tn: 4, dc: 32 },
    { bm: 64, bn: 32, tm: 4, tn: 4, dc: 32 },
  ],
  BACKWARD_Q: [
    { bm: 64, bn: 64, tm: 8, tn: 4, dc: 64, both: true },
    { bm: 64, bn: 64, tm: 4, tn: 4, dc: 64 },
    { bm: 64, bn: 64, tm: 8, tn: 4, dc: 32 },
  ],
  BACKWARD_KV: [
    { bm: 32, bn: 64, tm: 4, tn: 4, dc: 64, both: true },
    { bm: 32, bn: 64, tm: 4, tn: 4, dc: 64 },
  ],
};

/** The shape of a kernel on a device. */
export function attentionShape(profile: KernelProfile, kind: AttentionKind, headDim: number): AttentionShape {
  const named = profile.attention?.[kind];
  if (named) return named;
  const { attentionTile: tile, attentionMemory = 16384 } = profile;
  const fits = (shape: AttentionShape) => attentionBytes(kind, shape, headDim) <= attentionMemory;
  // Chunks are a power of two that divides the head dimension.
  const most = headDim & -headDim;
  for (const shape of tile >= 64 ? SHAPES[kind] : []) {
    const own = { ...shape, dc: Math.min(shape.dc, most) };
    if (fits(own)) return own;
  }
  let dc = Math.min(64, most);
  const least = () => ({ bm: tile, bn: tile, tm: 4, tn: 4, dc });
  while (dc > 4 && !fits(least())) dc /= 2;
  return least();
}

/** Constants of the kernel, and the rounds of its loops. */
export function attentionConstants(
  profile: KernelProfile,
  shape: AttentionShape,
  headDim: number,
): { constants: Record<string, number>; rounds: { groups: number; wide_groups: number; staged_groups: number } } {
  const { bm, bn, tm, tn, dc, keep, both, prefetch, unroll = 16 } = shape;
  const rows = wideRows(shape, headDim);
  const rounds = (quads: number) => quads / Math.min(quads, unroll / 4);
  return {
    constants: {
      TILE: profile.attentionTile,
      HEAD_DIM: headDim,
      BM: bm,
      BN: bn,
      TM: tm,
      TN: tn,
      DC: dc,
      WIDE_ROWS: rows,
      KEEP: Number(keep ?? false),
      BOTH: Number(both ?? false),
      PREFETCH: Number(prefetch ?? false),
      UNROLL: unroll,
    },
    rounds: { groups: rounds(dc / 4), wide_groups: rounds(rows / 4), staged_groups: rounds(bn / 4) },
  };
}
