/** Everything about a run that is known before it starts: steps, passes, sizes, memory. */
import { evalSteps, planBatches, type StepPlan, saveSteps, warmupSteps } from '../data/sampler';
import type { TokenizedPair } from '../data/types';
import type { BufferSpec } from '../gpu/memory';
import type { KernelProfile } from '../gpu/profile';
import type { LlamaConfig } from '../model/config';
import { type LoraLayout, loraLayout } from '../model/lora';
import {
  bindableTokens,
  type DeviceLimits,
  type PackCapacity,
  plannedStretch,
  runSpecs,
  slabLimit,
} from '../model/plan';
import { TrainingError } from './errors';
import type { HParams } from './hparams';
import { passCapacity, type ShapedPair, shapePairs, tokenBudget } from './passes';

/** Tokens of one pass unless a single pair is longer: enough to fill a GPU, small enough for a laptop's memory. */
export const DEFAULT_TOKEN_BUDGET = 4096;

export interface TrainingPlan {
  hparams: HParams;
  steps: StepPlan[];
  warmup: number;
  evalEvery: number;
  /** Steps between checkpoints; 0 for none but at a pause and at the end. */
  saveEvery: number;
  train: ShapedPair[];
  evaluation: ShapedPair[];
  budget: number;
  capacity: PackCapacity;
  lora: LoraLayout;
  /** Every buffer of the run beside the weights. */
  buffers: BufferSpec[];
}

/**
 * @param profile of the device that will run it
 * @throws TrainingError when there is nothing to train on
 */
export function planTraining(
  config: LlamaConfig,
  limits: DeviceLimits,
  kernels: Pick<KernelProfile, 'attentionTile' | 'mlpBytes' | 'spareMlpBytes'>,
  hparams: HParams,
  trainPairs: readonly TokenizedPair[],
  evalPairs: readonly TokenizedPair[],
  mostTokens = DEFAULT_TOKEN_BUDGET,
): TrainingPlan {
  if (trainPairs.length === 0) {
    throw new TrainingError('no-pairs', 'There are no pairs to train on. Load a file with usable pairs first.');
  }
  const { attentionTile: tile } = kernels;
  const steps = planBatches(trainPairs.length, hparams);
  const train = shapePairs(trainPairs, hparams.nll_on_prompt, tile);
  const evaluation = shapePairs(evalPairs, hparams.nll_on_prompt, tile);
  const budget = tokenBudget(steps, train, Math.min(mostTokens, bindableTokens(config, limits)));
  const capacity = passCapacity(steps, train, evaluation, hparams, budget);
  capacity.stretch = plannedStretch(config, limits, kernels);
  const lora = loraLayout(config, hparams, slabLimit(limits));
  const buffers = runSpecs(config, lora, capacity, hparams);
  return {
    hparams,
    steps,
    warmup: warmupSteps(steps.length, hparams),
    evalEvery: evalSteps(steps.length, hparams),
    saveEvery: saveSteps(steps.length, hparams),
    train,
    evaluation,
    budget,
    capacity,
    lora,
    buffers,
  };
}
