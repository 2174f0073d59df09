/** Shapes of attention's kernels against each other: what src/ops/attention_shape.ts chooses from. */
import type { KernelProfile } from '../../gpu/profile';
import { type AttentionKind, type AttentionShape, attentionBytes, sharedHeads } from '../../ops/attention_shape';
import {
  ATTENTION_KERNELS,
  type AttentionKernel,
  attentionErrors,
  attentionTimes,
  uneven,
  wholeCases,
} from '../attention';
import type { Section } from '../section';

export const KINDS: Record<AttentionKernel, AttentionKind> = {
  forward: 'FORWARD',
  dQ: 'BACKWARD_Q',
  'dK dV': 'BACKWARD_KV',
};

/** Tile with the chunk of the head dimension, scores of a thread, walked rows staged at a time. */
const S = (tile: string, thread: string, rows: number, unroll = 16): AttentionShape => {
  const [bm, bn, dc] = tile.split('x').map(Number);
  const [tm, tn] = thread.split('x').map(Number);
  return { bm, bn, tm, tn, dc, rows, share: 4, unroll };
};

export const shapeName = ({ bm, bn, tm, tn, dc, rows, unroll = 16 }: AttentionShape) =>
  `${bm}x${bn}x${dc} ${tm}x${tn} rows ${rows} u${unroll}`;

const SHAPES: Record<number, Record<AttentionKernel, AttentionShape[]>> = {
  64: {
    forward: [
      S('64x64x32', '8x4', 16, 32),
      S('128x64x32', '8x4', 32),
      S('64x64x64', '4x4', 64),
      S('64x32x32', '4x4', 16),
    ],
    dQ: [S('128x32x32', '4x4', 16), S('64x32x32', '4x4', 16), S('128x64x32', '8x4', 32), S('64x64x64', '4x4', 64)],
    'dK dV': [S('64x64x64', '4x4', 64), S('64x64x32', '4x4', 32), S('64x64x32', '4x4', 16), S('32x64x32', '4x4', 32)],
  },
  128: {
    forward: [S('128x64x32', '8x4', 16), S('64x64x32', '8x4', 8), S('64x64x64', '4x4', 32)],
    dQ: [S('64x64x64', '4x4', 32), S('128x64x32', '8x4', 16), S('64x64x32', '4x4', 8)],
    'dK dV': [S('64x64x32', '4x4', 32), S('64x64x64', '4x4', 32), S('64x64x32', '4x4', 8)],
  },
};

export const attentionRace: Section = async ({ gpu, bench, quick, print, show }) => {
  const own = { ...gpu.profile, direct: false };
  const most = gpu.device.limits.maxComputeWorkgroupStorageSize;
  for (const c of wholeCases(quick).filter((each) => each.shared === 1)) {
    for (const kernel of ATTENTION_KERNELS) {
      const good: [string, KernelProfile][] = [];
      for (const shape of SHAPES[c.headDim][kernel]) {
        const name = shapeName(shape);
        const kind = KINDS[kernel];
        const tokens = shape.bm / sharedHeads(kind, shape, c);
        if (tokens > own.attentionTile || attentionBytes(kind, shape, c.headDim) > most) continue;
        const profile = { ...own, attention: { [kind]: shape } };
        try {
          const [, error] = await attentionErrors(bench, uneven(c), kernel, [{ ...own, direct: true }, profile]);
          if (error < 1e-5) good.push([name, profile]);
          else print(`${name} ${c.name} ${kernel}: off by ${error}`);
        } catch (error) {
          print(`${name} ${c.name} ${kernel}: ${(error as Error).message}`);
        }
      }
      if (quick) print(`${c.name} ${kernel}: ${good.length} of ${SHAPES[c.headDim][kernel].length} right`);
      else if (good.length) show(await attentionTimes(bench, c, kernel, good, 12));
    }
  }
};
