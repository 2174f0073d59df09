/** One optimizer step over the adapter: global norm, clipping, AdamW. */

import type { Session } from '../model/session';
import { adamw } from '../ops/adamw';
import { gradientNorm } from '../ops/gradient_norm';
import type { HParams } from './hparams';

/** @param step counts from 1. The norm before clipping is left in norm.result. */
export function optimizerStep(session: Session, hparams: HParams, step: number, learningRate: number): void {
  const { cmd, gpu } = session.model;
  const view = (name: string) => ({ buffer: session.memory.get(name) });
  const slabs = session.lora.slabs.map((length, i) => ({ view: view(`lora.grad.${i}`), length }));
  gradientNorm(cmd, gpu.profile, slabs, view('norm.partials'), view('norm.result'), hparams.max_grad_norm);
  if (hparams.optim === 'adamw_8bit') throw new RangeError('optim adamw_8bit is not available yet');
  const settings = {
    kind: hparams.optim,
    beta1: hparams.adam_beta1,
    beta2: hparams.adam_beta2,
    epsilon: hparams.adam_epsilon,
    weightDecay: hparams.weight_decay,
  };
  slabs.forEach(({ view: grad, length }, i) => {
    const slab = { param: view(`lora.param.${i}`), grad, m: view(`lora.m.${i}`), v: view(`lora.v.${i}`), length };
    adamw(cmd, settings, slab, view('norm.result'), step, learningRate);
  });
}
