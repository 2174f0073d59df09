/**
 * Hyper-parameters of a run, with the names and meanings of TRL's ORPOConfig, transformers' TrainingArguments and
 * PEFT's LoraConfig. A JSON file of these is what `--config` takes on the command line.
 */

export const LR_SCHEDULER_TYPES = ['linear', 'cosine', 'constant', 'constant_with_warmup', 'inverse_sqrt'] as const;
export type LrSchedulerType = (typeof LR_SCHEDULER_TYPES)[number];

/** The seven linear projections of a Llama layer, in PEFT's spelling. */
export const TARGET_MODULES = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;
export type TargetModule = (typeof TARGET_MODULES)[number];

export const OPTIMIZERS = ['adamw_torch', 'adamw_bnb_32bit', 'adamw_8bit'] as const;
export type Optimizer = (typeof OPTIMIZERS)[number];

/** `classic`: TRL <= 0.27. `trl1`: TRL >= 0.28 (over-cuts; kept for comparison). `sane`: a budget per answer. */
export const TRUNCATIONS = ['classic', 'trl1', 'sane', 'independent', 'none'] as const;
export type Truncation = (typeof TRUNCATIONS)[number];

/** A token id, `"tokenizer"` for the tokenizer's own, or null for none. */
export type TokenIdSetting = number | 'tokenizer' | null;

export interface HParams {
  /** Weight of the odds-ratio term (lambda in the paper). */
  beta: number;
  /** Whether the NLL covers the prompt as well, as TRL's does. */
  nll_on_prompt: boolean;
  max_length: number;
  max_prompt_length: number;
  /** Which end of an over-long prompt the `classic` truncation keeps. */
  truncation_mode: 'keep_end' | 'keep_start';
  truncation: Truncation;
  bos_token_id: TokenIdSetting;
  eos_token_id: TokenIdSetting;
  pad_token_id: TokenIdSetting;
  learning_rate: number;
  lr_scheduler_type: LrSchedulerType;
  /** Steps, or a share of all steps when between 0 and 1. */
  warmup_steps: number;
  num_train_epochs: number;
  /** Optimizer steps; above 0 it overrides `num_train_epochs`. */
  max_steps: number;
  per_device_train_batch_size: number;
  per_device_eval_batch_size: number;
  gradient_accumulation_steps: number;
  max_grad_norm: number;
  optim: Optimizer;
  adam_beta1: number;
  adam_beta2: number;
  adam_epsilon: number;
  weight_decay: number;
  seed: number;
  shuffle: boolean;
  /** 0: only at the end; between 0 and 1: share of all steps; otherwise every so many steps. */
  eval_steps: number;
  /** Steps between two checkpoints: 0 for only at a pause and at the end; between 0 and 1 a share of all steps. */
  save_steps: number;
  /** Checkpoints of a run that are kept; older ones are deleted. */
  save_total_limit: number;
  lora_r: number;
  lora_alpha: number;
  use_rslora: boolean;
  use_dora: boolean;
  /**
   * Share of the inputs of the adapter's A that training drops; without effect while `disable_dropout` is on. The tokens
   * that both answers of a pair share are computed once and have one mask, where TRL draws one for each answer.
   */
  lora_dropout: number;
  /** TRL's trainers switch all dropout off, LoRA's included; so it is here unless this is false. */
  disable_dropout: boolean;
  target_modules: TargetModule[];
  /** Seed of the adapter's initial A matrices. */
  init_seed: number;
  gradient_checkpointing: boolean;
  /**
   * This engine's own: bytes of GPU memory that checkpointing may spend on values it would make twice otherwise
   * (model/layer-values). 0 keeps none, -1 leaves it to the memory plan. Changes no number of a run.
   */
  keep_bytes: number;
}

export const DEFAULT_HPARAMS: Readonly<HParams> = {
  beta: 0.1,
  nll_on_prompt: true,
  max_length: 1024,
  max_prompt_length: 512,
  truncation_mode: 'keep_end',
  truncation: 'classic',
  bos_token_id: 'tokenizer',
  eos_token_id: 'tokenizer',
  pad_token_id: 'tokenizer',
  learning_rate: 8e-6,
  lr_scheduler_type: 'linear',
  warmup_steps: 0,
  num_train_epochs: 1,
  max_steps: -1,
  per_device_train_batch_size: 2,
  per_device_eval_batch_size: 2,
  gradient_accumulation_steps: 4,
  max_grad_norm: 1,
  optim: 'adamw_torch',
  adam_beta1: 0.9,
  adam_beta2: 0.999,
  adam_epsilon: 1e-8,
  weight_decay: 0,
  seed: 42,
  shuffle: true,
  eval_steps: 0,
  save_steps: 20,
  save_total_limit: 2,
  lora_r: 16,
  lora_alpha: 32,
  use_rslora: false,
  use_dora: false,
  lora_dropout: 0,
  disable_dropout: true,
  target_modules: [...TARGET_MODULES],
  init_seed: 0,
  gradient_checkpointing: true,
  keep_bytes: -1,
};

/** `nf4` of a settings file: how the command line quantises a 16- or 32-bit model as it loads. */
export interface Nf4Settings {
  enabled: boolean;
  double_quant: boolean;
  /** Weights are rounded to this first. */
  source_dtype: 'bfloat16' | 'float16' | 'float32';
  /** Linear layers whose name contains one of these stay as they are. */
  skip_modules: string[];
}

export const DEFAULT_NF4: Readonly<Nf4Settings> = {
  enabled: false,
  double_quant: true,
  source_dtype: 'bfloat16',
  skip_modules: ['lm_head', 'embed_tokens'],
};
