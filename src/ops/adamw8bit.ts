/** bitsandbytes' 8-bit AdamW over one slab of parameters, block by block. */
import source from '../../shaders/adamw8bit.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { KernelProfile } from '../gpu/profile';
import type { AdamwSettings } from './adamw';
import { rowConstants, rowGroups } from './rows';

export interface Adamw8bitSlab {
  param: View;
  grad: View;
  /** Table and states of model/moments.ts. */
  table: View;
  states: View;
  blocks: number;
  /** Values of a row of B, and from row to row. */
  rank: number;
  paddedRank: number;
}

/** One update. `maps`: the signed dynamic map, then the unsigned one; `clip` and `step` as in `adamw`. */
export function adamw8bit(
  cmd: Commands,
  profile: KernelProfile,
  settings: Omit<AdamwSettings, 'kind'>,
  slab: Adamw8bitSlab,
  maps: View,
  clip: View,
  step: number,
  lr: number,
): void {
  const { beta1, beta2, epsilon, weightDecay } = settings;
  const c1 = 1 - beta1 ** step;
  const c2 = Math.sqrt(1 - beta2 ** step);
  cmd.dispatch(
    { name: 'adamw 8-bit', source, constants: rowConstants(profile) },
    { param: slab.param, grad: slab.grad, blocks: slab.table, states: slab.states, maps, clip },
    {
      blocks: slab.blocks,
      rank: slab.rank,
      padded_rank: slab.paddedRank,
      beta1,
      one_minus_beta1: 1 - beta1,
      beta2,
      one_minus_beta2: 1 - beta2,
      step_size: (lr * c2) / c1,
      eps: epsilon * c2,
      decay: 1 - lr * weightDecay,
    },
    rowGroups(slab.blocks),
    100 * 256 * slab.blocks,
  );
}
