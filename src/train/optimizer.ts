/** One optimizer step over the adapter: global norm, clipping, AdamW. */

import { BLOCK_WORDS } from '../model/moments';
import type { Session } from '../model/session';
import { adamw } from '../ops/adamw';
import { adamw8bit } from '../ops/adamw8bit';
import { gradientNorm } from '../ops/gradient_norm';
import type { HParams } from './hparams';

/** @param step counts from 1. The norm before clipping is left in norm.result. */
export function optimizerStep(session: Session, hparams: HParams, step: number, learningRate: number): void {
  const { cmd, gpu } = session.model;
  const view = (name: string) => ({ buffer: session.memory.get(name) });
  const slabs = session.lora.slabs.map((length, i) => ({ view: view(`lora.grad.${i}`), length }));
  gradientNorm(cmd, gpu.profile, slabs, view('norm.partials'), view('norm.result'), hparams.max_grad_norm);
  const settings = {
    beta1: hparams.adam_beta1,
    beta2: hparams.adam_beta2,
    epsilon: hparams.adam_epsilon,
    weightDecay: hparams.weight_decay,
  };
  const clip = view('norm.result');
  slabs.forEach(({ view: grad, length }, i) => {
    const param = view(`lora.param.${i}`);
    if (hparams.optim === 'adamw_8bit') {
      const table = view(`lora.blocks.${i}`);
      const blocks = table.buffer.size / (4 * BLOCK_WORDS);
      const { rank, paddedRank } = session.lora;
      const slab = { param, grad, table, states: view(`lora.state.${i}`), blocks, rank, paddedRank };
      adamw8bit(cmd, gpu.profile, settings, slab, view('adamw.maps'), clip, step, learningRate);
    } else {
      const slab = { param, grad, m: view(`lora.m.${i}`), v: view(`lora.v.${i}`), length };
      adamw(cmd, { ...settings, kind: hparams.optim }, slab, clip, step, learningRate);
    }
  });
}
