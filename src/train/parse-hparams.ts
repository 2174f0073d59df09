/** Hyper-parameters from JSON, every key checked. */
import { TrainingError } from './errors';
import { DEFAULT_HPARAMS, type HParams, LR_SCHEDULER_TYPES, OPTIMIZERS, TARGET_MODULES, TRUNCATIONS } from './hparams';

const WHOLE_FROM_1 = [
  'max_length',
  'max_prompt_length',
  'per_device_train_batch_size',
  'per_device_eval_batch_size',
  'gradient_accumulation_steps',
  'lora_r',
] as const;
const NOT_NEGATIVE = [
  'beta',
  'learning_rate',
  'warmup_steps',
  'num_train_epochs',
  'max_grad_norm',
  'adam_beta1',
  'adam_beta2',
  'adam_epsilon',
  'weight_decay',
  'eval_steps',
  'lora_alpha',
] as const;
const FLAGS = ['nll_on_prompt', 'shuffle', 'use_rslora', 'use_dora', 'gradient_checkpointing'] as const;
const CHOICES = {
  truncation_mode: ['keep_end', 'keep_start'],
  truncation: TRUNCATIONS,
  lr_scheduler_type: LR_SCHEDULER_TYPES,
  optim: OPTIMIZERS,
} as const;
const TOKEN_IDS = ['bos_token_id', 'eos_token_id', 'pad_token_id'] as const;

export interface ParsedHParams {
  hparams: HParams;
  /** Keys that this trainer has no use for. */
  unknown: string[];
}

/**
 * Fills in the defaults and checks every value.
 * @throws TrainingError `bad-settings` naming the first key that is wrong
 */
export function parseHParams(json: unknown): ParsedHParams {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) fail('settings', 'must be a JSON object');
  const given = json as Record<string, unknown>;
  const hparams = { ...DEFAULT_HPARAMS, target_modules: [...DEFAULT_HPARAMS.target_modules] } as Record<
    string,
    unknown
  >;
  const unknown: string[] = [];
  for (const [key, value] of Object.entries(given)) {
    if (key in hparams) hparams[key] = value;
    else unknown.push(key);
  }
  check(hparams);
  return { hparams: hparams as unknown as HParams, unknown };
}

function check(h: Record<string, unknown>): void {
  for (const key of WHOLE_FROM_1) {
    if (!(Number.isInteger(h[key]) && (h[key] as number) >= 1)) fail(key, 'must be a whole number of at least 1');
  }
  for (const key of NOT_NEGATIVE) {
    if (!(Number.isFinite(h[key]) && (h[key] as number) >= 0)) fail(key, 'must be a number of at least 0');
  }
  for (const key of ['adam_beta1', 'adam_beta2']) if ((h[key] as number) >= 1) fail(key, 'must be below 1');
  for (const key of ['seed', 'init_seed', 'max_steps']) {
    if (!Number.isInteger(h[key])) fail(key, 'must be a whole number');
  }
  for (const key of FLAGS) if (typeof h[key] !== 'boolean') fail(key, 'must be true or false');
  for (const [key, choices] of Object.entries(CHOICES)) {
    if (!(choices as readonly unknown[]).includes(h[key])) fail(key, `must be one of ${choices.join(', ')}`);
  }
  for (const key of TOKEN_IDS) {
    const value = h[key];
    if (!(value === null || value === 'tokenizer' || (Number.isInteger(value) && (value as number) >= 0))) {
      fail(key, 'must be a token id, "tokenizer" or null');
    }
  }
  const modules = h.target_modules;
  if (!Array.isArray(modules) || modules.length === 0 || !modules.every((m) => TARGET_MODULES.includes(m))) {
    fail('target_modules', `must name some of ${TARGET_MODULES.join(', ')}`);
  }
  if ((h.max_steps as number) <= 0 && (h.num_train_epochs as number) <= 0) {
    fail('num_train_epochs', 'must be above 0 unless max_steps is');
  }
  for (const key of ['warmup_steps', 'eval_steps']) {
    const value = h[key] as number;
    if (value > 1 && !Number.isInteger(value)) fail(key, 'must be a whole number of steps, or a share below 1');
  }
  if (h.truncation === 'classic' && (h.max_prompt_length as number) >= (h.max_length as number)) {
    fail('max_prompt_length', 'must be below max_length, or no room is left for an answer');
  }
}

function fail(key: string, what: string): never {
  throw new TrainingError('bad-settings', `${key} ${what}.`);
}
