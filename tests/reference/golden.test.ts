/** The reference against a float32 run of TRL's formulas in PyTorch with PEFT and transformers (stories-260k, LoRA). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TokenizedPair } from '../../src/data/types';
import { relativeL2 } from '../support/close';
import { AdamW, clipGradNorm } from './adamw';
import { packPairs } from './batch';
import { loadAdapter, loadModel, readSafetensors } from './load';
import { adapterTensors, lossAndGradients } from './model';
import { lrFactor, totalSteps, warmupSteps } from './schedule';

const root = join(import.meta.dirname, '../..');
const golden = join(root, 'tests/goldens/stories-260k-lora');
const text = (name: string) => readFileSync(join(golden, name), 'utf8');
const lines = (name: string) =>
  text(name)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

const hp = JSON.parse(text('hparams.json'));
const plan = JSON.parse(text('batches.json'));
const rows: TokenizedPair[] = lines('tokens.jsonl');
const log = lines('log.jsonl');
const model = loadModel(join(root, 'public/models/stories-260k'));
const adapter = loadAdapter(join(golden, 'init.safetensors'), model.shape.layers, hp.lora_alpha);
const microsOf = (step: number) => plan.steps[step].micro.map((ids: number[]) => ids.map((i) => rows[i]));

const relative = (a: number, b: number) => Math.abs(a - b) / Math.abs(b);

const options = { beta: hp.beta };
const packStep = (step: number) => packPairs(microsOf(step), { nllOnPrompt: hp.nll_on_prompt });

describe('stories-260k, LoRA r 8', () => {
  const first = lossAndGradients(model, adapter, packStep(0), options);

  test('losses and metrics of the first micro-batches', () => {
    first.micro.forEach(({ loss, metrics }, j) => {
      expect(relative(loss, log[0].micro_loss[j])).toBeLessThan(1e-5);
      for (const [name, value] of Object.entries(metrics)) {
        const expected = log[0].micro[j][name];
        if (name === 'rewards/accuracies') expect(value).toBe(expected);
        // Differences of nearly equal numbers: float32 leaves an absolute error.
        else if (/margins|log_odds/.test(name)) expect(Math.abs(value - expected), name).toBeLessThan(1e-5);
        else expect(relative(value, expected), name).toBeLessThan(1e-5);
      }
    });
  });

  test('gradients of the first step', () => {
    const expected = readSafetensors(join(golden, 'grads_step1.safetensors'));
    expect([...first.grads.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [key, grad] of first.grads) {
      // B starts at 0, so the gradient of every A is exactly 0 in this step and only in this one.
      expect(
        grad.every((g) => g === 0),
        key,
      ).toBe(key.includes('lora_A'));
      expect(relativeL2(grad, expected.get(key)!.data), key).toBeLessThan(1e-4);
    }
  });

  test('three optimizer steps: losses, gradient norms and learning rates', () => {
    const optimizer = new AdamW({
      kind: hp.optim,
      beta1: hp.adam_beta1,
      beta2: hp.adam_beta2,
      eps: hp.adam_epsilon,
      weightDecay: hp.weight_decay,
    });
    const { per_device_train_batch_size: size, gradient_accumulation_steps: accumulation } = hp;
    const total = totalSteps(rows.length, size, accumulation, hp.num_train_epochs, hp.max_steps);
    expect(total).toBe(plan.total_steps);
    const warmup = warmupSteps(hp.warmup_steps, total);
    const params = adapterTensors(adapter);
    for (let k = 0; k < 3; k++) {
      const { loss, grads } = k === 0 ? first : lossAndGradients(model, adapter, packStep(k), options);
      const norm = clipGradNorm(grads.values(), hp.max_grad_norm);
      const lr = hp.learning_rate * lrFactor(hp.lr_scheduler_type, k, warmup, total);
      expect(relative(loss, log[k].loss), `loss of step ${k + 1}`).toBeLessThan(1e-5);
      expect(relative(norm, log[k].grad_norm), `grad_norm of step ${k + 1}`).toBeLessThan(1e-4);
      expect(lr).toBeCloseTo(log[k].learning_rate, 12);
      optimizer.step(params, grads, lr);
    }
  });
});
