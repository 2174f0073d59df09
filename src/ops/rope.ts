/** Rotary position embedding, in place over the first `heads` heads of each row. */
import source from '../../shaders/rope.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import { KernelFamily, oncePer } from '../gpu/kernels';
import type { KernelProfile } from '../gpu/profile';
import { rowConstants, rowGroups } from './rows';

const families = oncePer((profile: KernelProfile) => new KernelFamily('rope', source, rowConstants(profile)));

export interface RopeArgs {
  x: View;
  /** Position of each token, u32 [tokens]. */
  positions: View;
  /** cos and sin, f32 [positions, headDim / 2, 2]. */
  table: View;
  tokens: number;
  heads: number;
  headDim: number;
  /** Values from row to row. */
  ld: number;
}

export function rope(cmd: Commands, profile: KernelProfile, args: RopeArgs, direction: 'forward' | 'backward'): void {
  cmd.dispatch(
    families(profile).with(),
    { x: args.x, positions: args.positions, table: args.table },
    {
      tokens: args.tokens,
      heads: args.heads,
      head_dim: args.headDim,
      ld: args.ld,
      sign: direction === 'forward' ? 1 : -1,
    },
    rowGroups(args.tokens),
    4 * args.tokens * args.heads * args.headDim,
  );
}
