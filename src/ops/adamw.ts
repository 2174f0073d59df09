/** AdamW over one slab of parameters, in torch's form or bitsandbytes' 32-bit form. */
import source from '../../shaders/adamw.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import { itemGroups } from './rows';

export interface AdamwSettings {
  kind: 'adamw_torch' | 'adamw_bnb_32bit';
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
}

export interface AdamwSlab {
  param: View;
  grad: View;
  m: View;
  v: View;
  length: number;
}

/**
 * One update. `step` counts from 1; `clip` is gradientNorm's result.
 * Bias corrections are taken in double precision on the host, as torch does.
 */
export function adamw(cmd: Commands, settings: AdamwSettings, slab: AdamwSlab, clip: View, step: number, lr: number) {
  const { kind, beta1, beta2, epsilon, weightDecay } = settings;
  const c1 = 1 - beta1 ** step;
  const c2 = Math.sqrt(1 - beta2 ** step);
  const torch = kind === 'adamw_torch';
  cmd.dispatch(
    { name: `adamw ${kind}`, source, flags: torch ? [] : ['DECAY_AFTER'] },
    { param: slab.param, grad: slab.grad, m: slab.m, v: slab.v, clip },
    {
      count: slab.length,
      beta1,
      one_minus_beta1: 1 - beta1,
      beta2,
      one_minus_beta2: 1 - beta2,
      step_size: torch ? lr / c1 : (lr * c2) / c1,
      root_scale: torch ? 1 / c2 : 1,
      eps: torch ? epsilon : epsilon * c2,
      decay: 1 - lr * weightDecay,
    },
    itemGroups(slab.length),
    12 * slab.length,
  );
}
