/** All files of a hand-over folder. */

import { evalSteps, saveSteps, warmupSteps } from '../../data/sampler';
import type { TokenizedPair } from '../../data/types';
import type { AdapterTensor } from '../../formats/peft';
import { ADAPTER_CONFIG_FILE, ADAPTER_FILE, writeAdapter, writeAdapterConfig } from '../../formats/peft';
import type { HParams } from '../../train/hparams';
import type { StepRecord } from '../../train/records';
import type { RunRecord } from '../record';
import { ACCELERATE_YAML, axolotlYaml, datasetInfo, type JobFacts, llamaFactoryYaml, OPTIM_NAMES } from './configs';
import { handOverReadme } from './readme';
import { handOverRow } from './rows';
import script from './train_trl.py?raw';

export interface HandOver {
  record: RunRecord;
  /** Folder or repository of the base model. */
  model: string;
  isNf4: boolean;
  train: readonly TokenizedPair[];
  evaluation: readonly TokenizedPair[];
  tokenizer: Parameters<typeof handOverRow>[1];
  /** What the run began with; null where it was an adapter of the visitor's, who has it. */
  initial: ReadonlyMap<string, AdapterTensor> | null;
  /** Its adapter now; null before the first step. */
  trained: ReadonlyMap<string, AdapterTensor> | null;
  steps: readonly StepRecord[];
}

const INITIAL = 'adapter-init';

/** Files in order, by name; rows are made one at a time, as they may be many. */
export function* handOverFiles(input: HandOver): Generator<{ name: string; parts: Iterable<string | Uint8Array> }> {
  const { record, evaluation, train, initial, trained } = input;
  const { hparams } = record.settings;
  const total = record.totalSteps;
  const job: JobFacts = {
    model: input.model,
    hparams,
    quantizeNf4: record.model.quantized,
    isNf4: input.isNf4,
    warmupSteps: warmupSteps(total, hparams),
    evalSteps: evalSteps(total, hparams) || total,
    saveSteps: saveSteps(total, hparams) || total,
    evalPairs: evaluation.length,
    start: initial ? INITIAL : null,
  };
  const firstLoss = input.steps[0]?.step === 1 ? input.steps[0].loss : null;
  const json = (value: unknown) => [`${JSON.stringify(value, null, 2)}\n`];
  yield { name: 'README.md', parts: [handOverReadme(record, job, firstLoss)] };
  yield {
    name: 'job.json',
    parts: json({
      model: job.model,
      quantize_nf4: job.quantizeNf4,
      start: job.start ?? 'fresh',
      optim: OPTIM_NAMES[hparams.optim],
      warmup_steps: job.warmupSteps,
      eval_steps: job.evalSteps,
      save_steps: job.saveSteps,
      train_pairs: train.length,
      eval_pairs: evaluation.length,
      total_steps: total,
      first_loss: firstLoss,
      hparams,
    }),
  };
  yield { name: 'hparams.json', parts: json(numericSettings(hparams)) };
  yield { name: 'train_trl.py', parts: [script] };
  yield { name: 'accelerate.yaml', parts: [ACCELERATE_YAML] };
  yield { name: 'axolotl.yaml', parts: [axolotlYaml(job)] };
  yield { name: 'llamafactory.yaml', parts: [llamaFactoryYaml(job)] };
  yield { name: 'dataset_info.json', parts: [datasetInfo(evaluation.length)] };
  yield* adapterFiles(INITIAL, initial, job);
  yield* adapterFiles(`adapter-step-${record.step}`, trained, job);
  yield { name: 'train.jsonl', parts: rows(train, input.tokenizer) };
  if (evaluation.length) yield { name: 'eval.jsonl', parts: rows(evaluation, input.tokenizer) };
}

/** Settings that the numbers of a run without dropout depend on. */
function numericSettings(hparams: HParams): Partial<HParams> {
  const {
    save_steps,
    save_total_limit,
    gradient_checkpointing,
    keep_bytes,
    disable_dropout,
    lora_dropout,
    ...numeric
  } = hparams;
  return numeric;
}

function* rows(pairs: readonly TokenizedPair[], tokenizer: HandOver['tokenizer']): Generator<string> {
  for (const pair of pairs) yield handOverRow(pair, tokenizer);
}

function* adapterFiles(
  folder: string,
  adapter: ReadonlyMap<string, AdapterTensor> | null,
  { model, hparams }: JobFacts,
) {
  if (!adapter) return;
  const config = writeAdapterConfig({
    base_model_name_or_path: model,
    r: hparams.lora_r,
    lora_alpha: hparams.lora_alpha,
    lora_dropout: hparams.disable_dropout ? 0 : hparams.lora_dropout,
    target_modules: hparams.target_modules,
    use_rslora: hparams.use_rslora,
    use_dora: hparams.use_dora,
  });
  yield { name: `${folder}/${ADAPTER_FILE}`, parts: [writeAdapter([...adapter.values()])] };
  yield { name: `${folder}/${ADAPTER_CONFIG_FILE}`, parts: [config] };
}
