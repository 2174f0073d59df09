/** Whether a tier of arithmetic can be trusted on this device: one small ORPO step in it beside the same step in f32. */
import { MersenneTwister } from '../data/random';
import type { TokenizedPair } from '../data/types';
import type { AdapterTensor } from '../formats/peft';
import { type Gpu, withTier } from '../gpu/device';
import { GpuError } from '../gpu/errors';
import { type Tier, tolerancesOf } from '../gpu/tiers';
import { downloadAdapter, initialAdapter, uploadAdapter } from '../model/adapter';
import type { LlamaConfig } from '../model/config';
import { KNOWN_CONFIGS } from '../model/known-configs';
import { randomModel } from '../model/random-weights';
import { type LoadedModel, Session } from '../model/session';
import { DEFAULT_HPARAMS, type HParams } from './hparams';
import { planTraining } from './run-plan';
import { Trainer } from './trainer';

export interface TierCheck {
  tier: Tier;
  passed: boolean;
  /** How far the step was from that in f32, as tolerancesOf has it; null where it gave no number. */
  loss: number | null;
  gradients: number | null;
  /** Why it did not pass, as the end of "f16 is not used here: …"; null when it passed. */
  problem: string | null;
}

export interface CheckShape {
  config: LlamaConfig;
  /** Tokens of each of the pair's two sequences. */
  length: number;
}

/**
 * Two layers, one with NF4 weights and one with BF16, as wide and long as it takes that the tiles for large products are
 * used: about 0.1 TFLOP a step.
 */
export const CHECK_SHAPE: CheckShape = {
  config: {
    ...KNOWN_CONFIGS.find(({ id }) => id === 'llama-3.2-1b')!.config,
    vocabSize: 2048,
    layers: 2,
    hiddenSize: 1024,
    intermediateSize: 2048,
    heads: 16,
    kvHeads: 8,
    headDim: 64,
  },
  length: 512,
};

const HPARAMS: HParams = {
  ...DEFAULT_HPARAMS,
  per_device_train_batch_size: 1,
  gradient_accumulation_steps: 1,
  max_steps: 1,
};

/** A step of its own for every call, alike each time. */
function checkPair({ config, length }: CheckShape): TokenizedPair {
  const random = new MersenneTwister(5);
  const ids = (count: number) => Array.from({ length: count }, () => random.nextU32() % config.vocabSize);
  const prompt = ids(Math.floor(length / 4));
  const labels = (sequence: number[]) => sequence.map((token, at) => (at < prompt.length ? -100 : token));
  const [chosen, rejected] = [0, 1].map(() => [...prompt, ...ids(length - prompt.length)]);
  return {
    chosen_input_ids: chosen,
    chosen_labels: labels(chosen),
    rejected_input_ids: rejected,
    rejected_labels: labels(rejected),
  };
}

/** Without a B of its own, an adapter has no gradient in A. */
function startingAdapter(layout: Session['lora']): Map<string, AdapterTensor> {
  const adapter = initialAdapter(layout, 3);
  const random = new MersenneTwister(4);
  for (const { name, values } of adapter.values()) {
    if (!name.includes('lora_B')) continue;
    for (let i = 0; i < values.length; i++) values[i] = 0.02 * (random.nextU32() / 2 ** 31 - 1);
  }
  return adapter;
}

interface StepNumbers {
  loss: number;
  gradients: Map<string, AdapterTensor>;
}

/** @throws Error when the device refuses part of it, or a number is not finite */
async function oneStep(model: LoadedModel, shape: CheckShape): Promise<StepNumbers> {
  const { device, profile } = model.gpu;
  const plan = planTraining(model.config, device.limits, profile, HPARAMS, [checkPair(shape)], []);
  device.pushErrorScope('validation');
  device.pushErrorScope('internal');
  let session: Session | null = null;
  let failure: unknown = null;
  let numbers: StepNumbers | null = null;
  try {
    session = await Session.create(model, plan.lora, plan.capacity, plan.hparams);
    uploadAdapter(session, startingAdapter(plan.lora));
    const trainer = new Trainer(session, plan);
    await trainer.run();
    numbers = { loss: trainer.log[0].loss, gradients: await downloadAdapter(session, 'grad') };
  } catch (error) {
    failure = error;
  }
  session?.destroy();
  const faults = [await device.popErrorScope(), await device.popErrorScope()];
  const fault = faults.find((error) => error !== null);
  if (fault) throw new GpuError('shader', `the GPU refused part of the work: ${fault.message.slice(0, 300)}`);
  if (!numbers) throw failure;
  return numbers;
}

/** The largest relative L2 distance of any tensor. */
function worstDistance(actual: Map<string, AdapterTensor>, expected: Map<string, AdapterTensor>): number {
  let worst = 0;
  for (const [name, { values }] of expected) {
    const other = actual.get(name)!.values;
    let [difference, size] = [0, 0];
    for (let i = 0; i < values.length; i++) {
      difference += (other[i] - values[i]) ** 2;
      size += values[i] ** 2;
    }
    const distance = Math.sqrt(difference / size);
    // A comparison that is false for what is not a number.
    if (!(distance <= worst)) worst = distance;
  }
  return worst;
}

/**
 * One step with `gpu` as it is, beside one of the same device in f32. What the device refuses meanwhile is not counted
 * among its faults.
 * @throws GpuError `out-of-memory` when there is no room to tell, or `shader` when f32 fails as well
 */
export async function checkTier(gpu: Gpu, shape: CheckShape = CHECK_SHAPE): Promise<TierCheck> {
  const { tier } = gpu.profile;
  const base = withTier(gpu, 'f32');
  const model = await randomModel(base, shape.config, (name) => (name.includes('layers.0.') ? 'NF4' : 'BF16'), 'BF16');
  const ones = new Float32Array(shape.config.hiddenSize).fill(1);
  for (const { name, parts } of model.weights.byName.values()) {
    if (name.includes('norm')) gpu.device.queue.writeBuffer(parts[0].data.buffer, 0, ones);
  }
  const failed = (problem: string, loss: number | null = null, gradients: number | null = null): TierCheck => ({
    tier,
    passed: false,
    loss,
    gradients,
    problem,
  });
  try {
    const expected = await oneStep(model, shape);
    let actual: StepNumbers;
    try {
      actual = await oneStep({ ...model, gpu }, shape);
    } catch (error) {
      if (error instanceof GpuError && error.code !== 'shader') throw error;
      return failed((error as Error).message);
    }
    const loss = Math.abs(actual.loss - expected.loss) / Math.abs(expected.loss);
    const gradients = worstDistance(actual.gradients, expected.gradients);
    const allowed = tolerancesOf(gpu.profile);
    if (loss <= allowed.loss && gradients <= allowed.gradients) {
      return { tier, passed: true, loss, gradients, problem: null };
    }
    const numbers = `loss ${loss.toPrecision(2)} (allowed ${allowed.loss}), gradients ${gradients.toPrecision(2)} (allowed ${allowed.gradients})`;
    return failed(`a small step differs from the same step in f32 by more than it may: ${numbers}`, loss, gradients);
  } finally {
    await model.cmd.finish().catch(() => undefined);
    model.weightMemory.destroy();
    model.cmd.destroy();
  }
}
