/** The same job for the trainers that people grow into, as their YAML files. */
import type { HParams } from '../../train/hparams';

export interface JobFacts {
  /** Folder or repository of the base model. */
  model: string;
  hparams: HParams;
  quantizeNf4: boolean;
  /** Already in 4 bits as it lies. */
  isNf4: boolean;
  warmupSteps: number;
  evalSteps: number;
  saveSteps: number;
  evalPairs: number;
  /** Folder of the adapter to start from; null for a fresh one. */
  start: string | null;
}

type Value = string | number | boolean | null | readonly string[] | Value[] | { [key: string]: Value };

function scalar(value: string | number | boolean | null): string {
  if (typeof value === 'string') return JSON.stringify(value);
  // 1e-5 without a point is a text to YAML 1.1.
  if (typeof value === 'number' && /^\d+e/u.test(String(value))) return String(value).replace('e', '.0e');
  return String(value);
}

/** YAML of plain values, two spaces a level. */
export function yaml(value: { [key: string]: Value }, indent = ''): string {
  const line = (key: string, inner: Value): string => {
    if (Array.isArray(inner)) {
      const items = (inner as Value[]).map((item) =>
        typeof item === 'object' && item !== null && !Array.isArray(item)
          ? `${indent}  - ${yaml(item as { [key: string]: Value }, `${indent}    `).trimStart()}`
          : `${indent}  - ${scalar(item as string)}\n`,
      );
      return `${indent}${key}:\n${items.join('')}`;
    }
    if (typeof inner === 'object' && inner !== null) {
      return `${indent}${key}:\n${yaml(inner as { [key: string]: Value }, `${indent}  `)}`;
    }
    return `${indent}${key}: ${scalar(inner as string)}\n`;
  };
  return Object.entries(value)
    .map(([key, inner]) => line(key, inner))
    .join('');
}

/** transformers' names of the optimizers. */
export const OPTIM_NAMES: Record<HParams['optim'], string> = {
  adamw_torch: 'adamw_torch',
  adamw_bnb_32bit: 'paged_adamw_32bit',
  adamw_8bit: 'adamw_8bit',
};

/** How long the run is; `epochs` is the trainer's name for that setting. */
const length = ({ hparams }: JobFacts, epochs = 'num_train_epochs'): Record<string, number> =>
  hparams.max_steps > 0 ? { max_steps: hparams.max_steps } : { [epochs]: hparams.num_train_epochs };

/** https://docs.axolotl.ai/docs/rlhf.html#orpo; without a `type` rows are taken as prompt, chosen and rejected. */
export function axolotlYaml(job: JobFacts): string {
  const { hparams: h } = job;
  return yaml({
    base_model: job.model,
    rl: 'orpo',
    orpo_alpha: h.beta,
    load_in_4bit: job.quantizeNf4 || job.isNf4,
    adapter: job.quantizeNf4 || job.isNf4 ? 'qlora' : 'lora',
    ...(job.start && { lora_model_dir: `./${job.start}` }),
    lora_r: h.lora_r,
    lora_alpha: h.lora_alpha,
    lora_dropout: h.disable_dropout ? 0 : h.lora_dropout,
    lora_target_modules: [...h.target_modules],
    ...(h.use_dora && { peft_use_dora: true }),
    ...(h.use_rslora && { peft_use_rslora: true }),
    datasets: [{ path: './train.jsonl', ds_type: 'json', split: 'train' }],
    ...(job.evalPairs > 0 && { test_datasets: [{ path: './eval.jsonl', ds_type: 'json', split: 'train' }] }),
    sequence_len: h.max_length,
    sample_packing: false,
    remove_unused_columns: false,
    micro_batch_size: h.per_device_train_batch_size,
    eval_batch_size: h.per_device_eval_batch_size,
    gradient_accumulation_steps: h.gradient_accumulation_steps,
    ...length(job, 'num_epochs'),
    learning_rate: h.learning_rate,
    lr_scheduler: h.lr_scheduler_type,
    warmup_steps: job.warmupSteps,
    optimizer: OPTIM_NAMES[h.optim],
    adam_beta1: h.adam_beta1,
    adam_beta2: h.adam_beta2,
    adam_epsilon: h.adam_epsilon,
    weight_decay: h.weight_decay,
    max_grad_norm: h.max_grad_norm,
    gradient_checkpointing: h.gradient_checkpointing,
    bf16: 'auto',
    seed: h.seed,
    logging_steps: 1,
    ...(job.evalPairs > 0 && { eval_steps: job.evalSteps }),
    save_steps: job.saveSteps,
    save_total_limit: h.save_total_limit,
    output_dir: './out-axolotl',
  });
}

/** https://llamafactory.readthedocs.io; ORPO is the loss `orpo` of its stage `dpo`. */
export function llamaFactoryYaml(job: JobFacts): string {
  const { hparams: h } = job;
  return yaml({
    model_name_or_path: job.model,
    ...(job.start && { adapter_name_or_path: `./${job.start}` }),
    ...(job.quantizeNf4 && { quantization_bit: 4, quantization_type: 'nf4', double_quantization: true }),
    stage: 'dpo',
    pref_loss: 'orpo',
    pref_beta: h.beta,
    do_train: true,
    finetuning_type: 'lora',
    lora_rank: h.lora_r,
    lora_alpha: h.lora_alpha,
    lora_dropout: h.disable_dropout ? 0 : h.lora_dropout,
    lora_target: h.target_modules.join(','),
    use_rslora: h.use_rslora,
    use_dora: h.use_dora,
    dataset_dir: '.',
    dataset: 'studio_train',
    ...(job.evalPairs > 0 && { eval_dataset: 'studio_eval', eval_strategy: 'steps', eval_steps: job.evalSteps }),
    template: 'empty',
    cutoff_len: h.max_length,
    per_device_train_batch_size: h.per_device_train_batch_size,
    per_device_eval_batch_size: h.per_device_eval_batch_size,
    gradient_accumulation_steps: h.gradient_accumulation_steps,
    ...length(job),
    learning_rate: h.learning_rate,
    lr_scheduler_type: h.lr_scheduler_type,
    warmup_steps: job.warmupSteps,
    optim: OPTIM_NAMES[h.optim],
    adam_beta1: h.adam_beta1,
    adam_beta2: h.adam_beta2,
    adam_epsilon: h.adam_epsilon,
    weight_decay: h.weight_decay,
    max_grad_norm: h.max_grad_norm,
    bf16: true,
    seed: h.seed,
    logging_steps: 1,
    save_steps: job.saveSteps,
    save_total_limit: h.save_total_limit,
    output_dir: './out-llamafactory',
  });
}

/** LLaMA-Factory's list of data sets, beside the YAML. */
export function datasetInfo(evalPairs: number): string {
  const entry = (file: string) => ({
    file_name: file,
    ranking: true,
    columns: { prompt: 'prompt', chosen: 'chosen', rejected: 'rejected' },
  });
  const info = { studio_train: entry('train.jsonl'), ...(evalPairs > 0 && { studio_eval: entry('eval.jsonl') }) };
  return `${JSON.stringify(info, null, 2)}\n`;
}

export const ACCELERATE_YAML = yaml({
  compute_environment: 'LOCAL_MACHINE',
  distributed_type: 'MULTI_GPU',
  num_machines: 1,
  num_processes: 2,
  machine_rank: 0,
  main_training_function: 'main',
  mixed_precision: 'no',
  use_cpu: false,
});
