/**
 * Which pairs make up which optimizer step, as transformers' Trainer with accelerate's seeded sampler picks them
 * (spec 3.2, 3.4 and 3.5).
 */
import type { HParams } from '../train/hparams';
import { randomPermutation } from './random';

type PlanSettings = Pick<
  HParams,
  'per_device_train_batch_size' | 'gradient_accumulation_steps' | 'num_train_epochs' | 'max_steps' | 'seed' | 'shuffle'
>;

/** One optimizer step. */
export interface StepPlan {
  /** Epochs done once this step is done, e.g. 0.25. */
  epoch: number;
  /** Row indices of each micro-batch. The last group of an epoch may hold fewer, its last micro-batch fewer rows. */
  micro: number[][];
}

/** Micro-batches in one pass over n rows. */
export function microBatchesPerEpoch(n: number, settings: PlanSettings): number {
  return Math.ceil(n / settings.per_device_train_batch_size);
}

/** Optimizer steps in one pass over n rows; the last may be of fewer micro-batches. */
export function stepsPerEpoch(n: number, settings: PlanSettings): number {
  return Math.max(1, Math.ceil(microBatchesPerEpoch(n, settings) / settings.gradient_accumulation_steps));
}

/** Optimizer steps of the whole run over n rows. */
export function totalSteps(n: number, settings: PlanSettings): number {
  if (settings.max_steps > 0) return settings.max_steps;
  return Math.ceil(settings.num_train_epochs * stepsPerEpoch(n, settings));
}

/** A number of steps; a setting between 0 and 1 is a share of all steps. */
const stepsOrShare = (total: number, setting: number): number =>
  setting > 0 && setting < 1 ? Math.ceil(total * setting) : Math.trunc(setting);

/** Steps of warm-up; a setting between 0 and 1 is a share of all steps. */
export function warmupSteps(total: number, settings: Pick<HParams, 'warmup_steps'>): number {
  return stepsOrShare(total, settings.warmup_steps);
}

/** Steps between evaluations; 0 means only after the last step. */
export const evalSteps = (total: number, { eval_steps }: Pick<HParams, 'eval_steps'>): number =>
  stepsOrShare(total, eval_steps);

/** Steps between checkpoints; 0 means only at a pause and at the end. */
export const saveSteps = (total: number, { save_steps }: Pick<HParams, 'save_steps'>): number =>
  stepsOrShare(total, save_steps);

/** Steps between answers to the chosen prompts; 0 for none. */
export const sampleSteps = (total: number, { sample_steps }: { sample_steps: number }): number =>
  stepsOrShare(total, sample_steps);

/** Whether to evaluate after this (1-based) step. */
export function evaluatesAfter(step: number, total: number, every: number): boolean {
  return step === total || (every > 0 && step % every === 0);
}

/** Order of n rows in an epoch (0-based): shuffled anew each time, as torch does with seed + epoch. */
export function epochOrder(n: number, epoch: number, settings: Pick<HParams, 'seed' | 'shuffle'>): number[] {
  return settings.shuffle ? randomPermutation(n, settings.seed + epoch) : Array.from({ length: n }, (_, i) => i);
}

/** Every optimizer step of a run over n rows. Throws RangeError when there is nothing to plan. */
export function planBatches(n: number, settings: PlanSettings): StepPlan[] {
  const batch = settings.per_device_train_batch_size;
  const group = settings.gradient_accumulation_steps;
  if (!(Number.isInteger(n) && n > 0)) throw new RangeError('There are no pairs to train on.');
  if (!(Number.isInteger(batch) && batch > 0 && Number.isInteger(group) && group > 0)) {
    throw new RangeError('Batch size and gradient accumulation must be whole numbers of at least 1.');
  }
  const total = totalSteps(n, settings);
  const steps: StepPlan[] = [];
  for (let epoch = 0; steps.length < total; epoch++) {
    const order = epochOrder(n, epoch, settings);
    const micro: number[][] = [];
    for (let i = 0; i < n; i += batch) micro.push(order.slice(i, i + batch));
    for (let i = 0; i < micro.length && steps.length < total; i += group) {
      const chunk = micro.slice(i, i + group);
      steps.push({ epoch: epoch + Math.min(1, (i + chunk.length) / micro.length), micro: chunk });
    }
  }
  return steps;
}
