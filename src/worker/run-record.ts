/** What is put down of a run as it begins, and how it is laid out again from that. */
import type { Tokenizer } from '../data/tokenizer';
import { readTensorFile } from '../formats/tensor-file';
import { planSamples, type SamplePlan } from '../generate/run-samples';
import type { OpenModel } from '../model/load';
import { RunError } from '../runs/errors';
import { pairsOf } from '../runs/pairs-file';
import type { KeptRun, RunStore } from '../runs/run-store';
import type { Checkpoint } from '../train/checkpoint';
import { readCheckpoint } from '../train/checkpoint-file';
import { parseHParams } from '../train/parse-hparams';
import { planTraining, type TrainingPlan } from '../train/run-plan';
import { parseSamples } from '../train/sample-settings';
import { answerStops } from './prompts';
import type { KeptRecord, ModelLoad, ModelSummary, PromptFormat, Settings } from './protocol';

export interface LoadedModel {
  open: OpenModel;
  tokenizer: Tokenizer;
  summary: ModelSummary;
  load: ModelLoad | null;
}

export interface PlannedRun {
  plan: TrainingPlan;
  samples: SamplePlan | null;
  settings: Settings;
  /** What the prompt format `auto` came to. */
  promptFormat: PromptFormat;
  dataName: string;
}

export interface RestoredRun {
  kept: KeptRun<KeptRecord>;
  plan: TrainingPlan;
  samples: SamplePlan | null;
  newest: Checkpoint | null;
  /** Steps of checkpoints that had changed in storage. */
  damaged: number[];
}

/** What training depends on of a model. */
const identity = ({ id, chatml, quantized }: ModelSummary) => ({ id, chatml: chatml ?? null, quantized });

export function newRecord(
  id: string,
  { open, summary, load }: LoadedModel,
  { plan, samples, settings, promptFormat, dataName }: PlannedRun,
  fingerprint: string,
): KeptRecord {
  const now = Date.now();
  const { info } = open.gpu;
  return {
    id,
    name: `${summary.title}, ${dataName}`,
    notes: '',
    createdAt: now,
    updatedAt: now,
    deletedAt: null,
    model: { ...identity(summary), title: summary.title, format: summary.format, load },
    data: {
      name: dataName,
      fingerprint,
      trainPairs: plan.train.length,
      evalPairs: plan.evaluation.length,
    },
    settings,
    promptFormat,
    samplePrompts: samples?.prompts ?? [],
    votes: [],
    device: info.description || [info.vendor, info.architecture].filter(Boolean).join(' '),
    state: 'running',
    step: 0,
    totalSteps: plan.steps.length,
    seconds: 0,
    last: null,
    lastEval: null,
    error: null,
  };
}

/**
 * What a run was, laid out for the loaded model, and its newest sound checkpoint.
 * @throws RunError `other-model`, `unknown-run`, `damaged-run`
 */
export async function restoreRun(
  runs: RunStore<KeptRecord>,
  id: string,
  { open, tokenizer, summary }: LoadedModel,
): Promise<RestoredRun> {
  const before = await runs.get(id);
  const { model, settings } = before.record;
  const { id: modelId, chatml, quantized } = identity(summary);
  if (modelId !== model.id || chatml !== model.chatml || quantized !== model.quantized) {
    throw new RunError(
      'other-model',
      `This run trains ${model.title} (${model.format}). Load that model first, in the same way.`,
    );
  }
  const { tensors } = await readTensorFile(await runs.pairs(id), 'pairs');
  const pairs = pairsOf(tensors);
  const { hparams } = parseHParams(settings.hparams);
  const { device, profile } = open.gpu;
  const tile = profile.attentionTile;
  const plan = planTraining(open.config, device.limits, profile, hparams, pairs.train, pairs.eval);
  const { samplePrompts = [], promptFormat = 'as-is' } = before.record;
  const samples = planSamples(
    ...([open.config, device.limits, tile, plan.lora, plan.steps.length] as const),
    parseSamples(settings.samples ?? {}),
    samplePrompts,
    await answerStops(open, tokenizer, hparams, promptFormat),
  );
  const found = await runs.newestCheckpoint(id).catch((error: unknown) => {
    if (error instanceof RunError && error.code === 'no-checkpoint') return null;
    throw error;
  });
  const newest = found && (await readCheckpoint(found.bytes, `checkpoint ${found.step}`)).checkpoint;
  const damaged = found?.damaged ?? before.checkpoints;
  return { kept: await runs.get(id), plan, samples, newest, damaged };
}
