/** A training plan as the page shows it, with what stands in its way. */

import { stepsPerEpoch } from '../data/sampler';
import type { TokenizedSet } from '../data/tokenize-set';
import { ChatTemplateError } from '../data/tokenizer';
import { GenerationError } from '../generate/errors';
import { planSamples, type SamplePlan } from '../generate/run-samples';
import { type BufferSpec, type MemoryGroup, totalBytes } from '../gpu/memory';
import { parameterCount } from '../model/config';
import type { OpenModel } from '../model/load';
import { operandSpecs } from '../model/operand-plan';
import { adviceOn } from '../train/advice';
import { planTraining, type TrainingPlan } from '../train/run-plan';
import { parseSamples } from '../train/sample-settings';
import type { Dataset } from './dataset';
import { renderSettings } from './prompt-choice';
import { answerStops, samplePrompts } from './prompts';
import type { MemoryItem, Role, RunPlan, Settings } from './protocol';
import type { LoadedModel, PlannedRun } from './run-record';

const LABELS: Record<MemoryGroup, string> = {
  weights: 'Frozen weights',
  lora: 'LoRA and its gradients',
  moments: 'AdamW moments',
  checkpoints: 'Layer checkpoints',
  activations: 'One layer at work',
  cache: 'Keys and values in cache',
  head: 'Head and loss',
  other: 'Tables',
};

export function memoryItems(specs: readonly BufferSpec[]): MemoryItem[] {
  return (Object.keys(LABELS) as MemoryGroup[]).map((name) => ({
    name,
    label: LABELS[name],
    bytes: totalBytes(specs.filter((s) => s.group === name)),
  }));
}

/** Tokens that the run computes, and those TRL would with its padding (spec 1.1). */
function countTokens(plan: TrainingPlan): { packed: number; padded: number } {
  let packed = 0;
  let padded = 0;
  for (const { micro } of plan.steps) {
    for (const group of micro) {
      let longest = 0;
      for (const row of group) {
        const { pair, shape } = plan.train[row];
        packed += shape.tokens;
        longest = Math.max(longest, pair.chosen_input_ids.length, pair.rejected_input_ids.length);
      }
      padded += 2 * group.length * longest;
    }
  }
  return { packed, padded };
}

/**
 * A run as it would be made of the visitor's data.
 * @throws TrainingError when there is nothing to train on
 */
export async function planRun(
  { open, tokenizer }: Pick<LoadedModel, 'open' | 'tokenizer'>,
  data: Dataset,
  sets: Record<Role, TokenizedSet>,
  settings: Settings,
): Promise<{ planned: PlannedRun; described: RunPlan }> {
  const { hparams } = settings;
  const { config, gpu } = open;
  const { limits } = gpu.device;
  const tile = gpu.profile.attentionTile;
  const plan = planTraining(config, limits, gpu.profile, hparams, sets.train.pairs, sets.eval.pairs);
  const render = renderSettings(settings.prompt, tokenizer, data.rows.train);
  const wanted = parseSamples(settings.samples ?? {});
  const blockers: string[] = [];
  let samples: SamplePlan | null = null;
  if (wanted.sample_steps > 0) {
    try {
      const prompts = samplePrompts(wanted, data.rows, render, tokenizer, hparams);
      const stopIds = await answerStops(open, tokenizer, hparams, render.format);
      samples = planSamples(config, limits, tile, plan.lora, plan.steps.length, wanted, prompts, stopIds);
    } catch (error) {
      if (!(error instanceof GenerationError || error instanceof ChatTemplateError)) throw error;
      blockers.push(`Answers during the run: ${error.message}`);
    }
  }
  const described = describePlan(open, plan, samples, sets);
  described.blockers.push(...blockers);
  return { planned: { plan, samples, settings, promptFormat: render.format, dataName: data.name }, described };
}

function describePlan(
  model: OpenModel,
  plan: TrainingPlan,
  samples: SamplePlan | null,
  sets: { train: TokenizedSet; eval: TokenizedSet },
): RunPlan {
  const { hparams, capacity, steps, warmup, lora } = plan;
  const { packed, padded } = countTokens(plan);
  const perEpoch = stepsPerEpoch(plan.train.length, hparams);
  const { device, profile } = model.gpu;
  const operands = operandSpecs(profile, model.config, model.weights.nf4, capacity, device.limits);
  const buffers = [...plan.buffers, ...operands, ...(samples?.buffers ?? [])];
  const memory = memoryItems([...model.weightMemory.specs, ...buffers]);
  const blockers: string[] = [];
  const warnings: string[] = [];
  const { maxPositions } = model.config;
  if (capacity.positions > maxPositions) {
    blockers.push(
      `The longest sequence has ${capacity.positions} tokens and this model can read ${maxPositions}. ` +
        `Set max_length to ${maxPositions} or less.`,
    );
  }
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
  const largest = Math.min(maxBufferSize, maxStorageBufferBindingSize);
  const tooLarge = buffers.find((b) => b.bytes > largest);
  if (tooLarge) {
    blockers.push(
      `${tooLarge.name} would need ${Math.ceil(tooLarge.bytes / 2 ** 20)} MiB in one buffer; this GPU allows ` +
        `${Math.floor(largest / 2 ** 20)} MiB. Lower max_length.`,
    );
  }
  if (warmup >= steps.length) {
    warnings.push(`warmup_steps (${warmup}) is not below the ${steps.length} steps of the run: the rate never peaks.`);
  }
  const dropped = sets.train.problems.length + sets.eval.problems.length;
  if (dropped) {
    warnings.push(`${dropped} pairs are left out: ${sets.train.problems[0]?.message ?? sets.eval.problems[0].message}`);
  }
  return {
    totalSteps: steps.length,
    warmupSteps: warmup,
    stepsPerEpoch: perEpoch,
    effectiveBatch: hparams.per_device_train_batch_size * hparams.gradient_accumulation_steps,
    trainPairs: plan.train.length,
    evalPairs: plan.evaluation.length,
    droppedPairs: dropped,
    truncatedPairs: sets.train.truncated + sets.eval.truncated,
    trainTokens: packed,
    paddedTokens: padded,
    trainableParameters: lora.parameters,
    memory,
    memoryBytes: memory.reduce((sum, item) => sum + item.bytes, 0),
    samplePrompts: samples?.prompts.map(({ text }) => text) ?? [],
    blockers,
    warnings,
    advice: adviceOn(hparams, {
      parameters: parameterCount(model.config),
      trainPairs: plan.train.length,
      totalSteps: steps.length,
      stepsPerEpoch: perEpoch,
    }),
  };
}
