/** Shapes of attention's kernels against each other: what src/ops/attention_shape.ts chooses from. */
import type { KernelProfile } from '../../gpu/profile';
import { type AttentionKind, type AttentionShape, attentionBytes } from '../../ops/attention_shape';
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

const S = (bm: number, bn: number, tm: number, tn: number, dc: number, more = ''): AttentionShape => ({
  bm,
  bn,
  tm,
  tn,
  dc,
  keep: more.includes('keep'),
  both: more.includes('both'),
  prefetch: more.includes('prefetch'),
  unroll: more.includes('u32') ? 32 : more.includes('u8') ? 8 : 16,
});

export const shapeName = ({ bm, bn, tm, tn, dc, keep, both, prefetch, unroll = 16 }: AttentionShape) =>
  `${bm}x${bn}x${dc} ${tm}x${tn}${keep ? ' keep' : ''}${both ? ' both' : ''}${prefetch ? ' prefetch' : ''} u${unroll}`;

const SHAPES: Record<number, Record<AttentionKernel, AttentionShape[]>> = {
  64: {
    forward: [
      S(64, 64, 8, 4, 32, 'keep'),
      S(64, 64, 8, 4, 32, 'keep prefetch'),
      S(64, 64, 8, 4, 32),
      S(64, 32, 8, 4, 64, 'keep'),
      S(64, 32, 8, 4, 64, 'keep prefetch'),
      S(64, 64, 8, 8, 32, 'keep'),
      S(64, 64, 4, 4, 32, 'keep'),
      S(64, 32, 4, 4, 64, 'keep'),
      S(32, 64, 4, 4, 64, 'keep'),
    ],
    dQ: [
      S(64, 64, 8, 4, 64, 'both'),
      S(64, 32, 8, 4, 64, 'keep both'),
      S(64, 32, 4, 4, 64, 'keep both'),
      S(64, 64, 8, 4, 32),
      S(32, 64, 4, 4, 64, 'keep both'),
      S(64, 64, 4, 4, 64, 'both'),
    ],
    'dK dV': [
      S(64, 64, 8, 4, 64, 'both'),
      S(64, 32, 4, 4, 64, 'both'),
      S(32, 64, 4, 4, 64, 'both'),
      S(32, 32, 4, 4, 64, 'keep both'),
      S(64, 64, 8, 4, 32),
      S(64, 64, 4, 4, 64, 'both'),
      S(64, 32, 8, 4, 64, 'both'),
    ],
  },
  128: {
    forward: [
      S(64, 64, 8, 4, 32),
      S(64, 64, 8, 4, 32, 'prefetch'),
      S(64, 32, 4, 4, 32, 'keep'),
      S(32, 64, 4, 4, 64, 'keep'),
      S(32, 32, 4, 4, 128, 'keep'),
      S(64, 64, 4, 4, 32),
    ],
    dQ: [
      S(64, 64, 8, 4, 64),
      S(64, 64, 8, 4, 32),
      S(32, 32, 4, 4, 64, 'both'),
      S(32, 64, 4, 4, 64),
      S(64, 64, 4, 4, 64),
    ],
    'dK dV': [
      S(64, 64, 8, 4, 64),
      S(32, 64, 4, 4, 64),
      S(32, 32, 4, 4, 64, 'both'),
      S(64, 64, 4, 4, 64),
      S(32, 64, 4, 4, 32),
    ],
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
        if (shape.bm > own.attentionTile || attentionBytes(KINDS[kernel], shape, c.headDim) > most) continue;
        const profile = { ...own, attention: { [KINDS[kernel]]: shape } };
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
