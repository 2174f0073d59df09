/** Hyper-parameters from JSON, every key checked. */
import { TrainingError } from './errors';
import {
  DEFAULT_HPARAMS,
  DEFAULT_NF4,
  type HParams,
  LR_SCHEDULER_TYPES,
  type Nf4Settings,
  OPTIMIZERS,
  TARGET_MODULES,
  TRUNCATIONS,
} from './hparams';

const WHOLE_FROM_1 = [
  'max_length',
  'max_prompt_length',
  'per_device_train_batch_size',
  'per_device_eval_batch_size',
  'gradient_accumulation_steps',
  'save_total_limit',
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
  'save_steps',
  'lora_alpha',
  'lora_dropout',
] as const;
const FLAGS = [
  'nll_on_prompt',
  'shuffle',
  'use_rslora',
  'use_dora',
  'disable_dropout',
  'gradient_checkpointing',
] as const;
const CHOICES = {
  truncation_mode: ['keep_end', 'keep_start'],
  truncation: TRUNCATIONS,
  lr_scheduler_type: LR_SCHEDULER_TYPES,
  optim: OPTIMIZERS,
} as const;
const TOKEN_IDS = ['bos_token_id', 'eos_token_id', 'pad_token_id'] as const;

export interface ParsedHParams {
  hparams: HParams;
  /** What to do to the model's weights as they are loaded. */
  nf4: Nf4Settings;
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
    else if (key !== 'nf4') unknown.push(key);
  }
  check(hparams);
  return { hparams: hparams as unknown as HParams, nf4: parseNf4(given.nf4), unknown };
}

/** Values of `nf4` that this engine cannot do are refused, not passed over: they would change every number. */
function parseNf4(json: unknown): Nf4Settings {
  if (json === undefined || json === null) return { ...DEFAULT_NF4, skip_modules: [...DEFAULT_NF4.skip_modules] };
  if (typeof json !== 'object' || Array.isArray(json)) fail('nf4', 'must be a JSON object');
  const given = json as Record<string, unknown>;
  const fixed: Record<string, unknown> = { blocksize: 64, nested_blocksize: 256, round_dtype: null };
  for (const [key, value] of Object.entries(fixed)) {
    if (key in given && given[key] !== value) fail(`nf4.${key}`, `must be ${value}`);
  }
  const nf4 = { ...DEFAULT_NF4, ...given } as Record<keyof Nf4Settings, unknown>;
  for (const key of ['enabled', 'double_quant'] as const) {
    if (typeof nf4[key] !== 'boolean') fail(`nf4.${key}`, 'must be true or false');
  }
  const dtypes = ['bfloat16', 'float16', 'float32'];
  nf4.source_dtype ??= DEFAULT_NF4.source_dtype;
  if (!dtypes.includes(nf4.source_dtype as string)) fail('nf4.source_dtype', `must be one of ${dtypes.join(', ')}`);
  nf4.skip_modules ??= [];
  if (!Array.isArray(nf4.skip_modules) || !nf4.skip_modules.every((m) => typeof m === 'string')) {
    fail('nf4.skip_modules', 'must be a list of names');
  }
  const { enabled, double_quant, source_dtype, skip_modules } = nf4 as Nf4Settings;
  return { enabled, double_quant, source_dtype, skip_modules: [...skip_modules] };
}

function check(h: Record<string, unknown>): void {
  for (const key of WHOLE_FROM_1) {
    if (!(Number.isInteger(h[key]) && (h[key] as number) >= 1)) fail(key, 'must be a whole number of at least 1');
  }
  for (const key of NOT_NEGATIVE) {
    if (!(Number.isFinite(h[key]) && (h[key] as number) >= 0)) fail(key, 'must be a number of at least 0');
  }
  for (const key of ['adam_beta1', 'adam_beta2']) if ((h[key] as number) >= 1) fail(key, 'must be below 1');
  if ((h.lora_dropout as number) >= 1) fail('lora_dropout', 'must be below 1');
  if (h.use_dora && !h.disable_dropout && (h.lora_dropout as number) > 0) {
    fail('lora_dropout', 'must be 0, or disable_dropout true, together with use_dora');
  }
  for (const key of ['seed', 'init_seed', 'max_steps']) {
    if (!Number.isInteger(h[key])) fail(key, 'must be a whole number');
  }
  if (!Number.isInteger(h.keep_bytes) || (h.keep_bytes as number) < -1) {
    fail('keep_bytes', 'must be a whole number of bytes, or -1');
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
  for (const key of ['warmup_steps', 'eval_steps', 'save_steps']) {
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
