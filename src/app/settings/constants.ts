/** The choices of each setting that is a choice, with a word on each, and the values every preset starts from. */
import type { HParams } from '../../worker/protocol';

export interface Choice {
  value: string;
  label: string;
}

export const SCHEDULERS: Choice[] = [
  { value: 'linear', label: 'linear: falls in a straight line to 0' },
  { value: 'cosine', label: 'cosine: falls slowly, then fast, then slowly' },
  { value: 'constant', label: 'constant: the same throughout' },
  { value: 'constant_with_warmup', label: 'constant_with_warmup: rises, then stays' },
  { value: 'inverse_sqrt', label: 'inverse_sqrt: falls with the root of the step' },
];

export const OPTIMIZERS: Choice[] = [
  { value: 'adamw_torch', label: 'adamw_torch: weight decay before the update' },
  { value: 'adamw_bnb_32bit', label: 'adamw_bnb_32bit: weight decay after the update' },
  { value: 'adamw_8bit', label: 'adamw_8bit: moments in a byte each, as bitsandbytes' },
];

export const TRUNCATIONS: Choice[] = [
  { value: 'sane', label: 'sane: prompt shortened first, EOS kept' },
  { value: 'classic', label: 'classic: as TRL up to 0.27' },
  { value: 'trl1', label: 'trl1: as TRL from 0.28 (broken)' },
  { value: 'independent', label: 'independent: prompt whole, each answer cut' },
  { value: 'none', label: 'none: nothing is cut' },
];

export const TRUNCATION_MODES: Choice[] = [
  { value: 'keep_end', label: 'keep_end: the last tokens' },
  { value: 'keep_start', label: 'keep_start: the first tokens' },
];

/** The seven linear projections of a Llama layer, in PEFT's spelling: attention, then MLP. */
export const MODULES = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;

/** What TRL, transformers and PEFT users would get, with LoRA on every projection. Presets change some of these. */
export const BASE_HPARAMS: Readonly<HParams> = {
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
  lora_r: 16,
  lora_alpha: 32,
  use_rslora: false,
  use_dora: false,
  lora_dropout: 0,
  disable_dropout: true,
  target_modules: [...MODULES],
  init_seed: 0,
  gradient_checkpointing: true,
};
