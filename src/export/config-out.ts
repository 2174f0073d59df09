import { NF4_CONFIG } from '../formats/bnb-nf4';
import { editObject, members } from '../formats/json-text';
import type { OutputDtype } from './weights';

const TORCH_DTYPE = { F32: 'float32', BF16: 'bfloat16', F16: 'float16' } as const;

/**
 * config.json of a merged model: the source's text without its quantisation and with the dtype of the new weights, under
 * whichever of `dtype` (transformers 5) and `torch_dtype` the source has; dtype `source` leaves what is there. With `nf4`
 * the quantisation stays, or is added.
 */
export function mergedConfig(text: string, dtype: OutputDtype, nf4 = false): string {
  const keys = members(text);
  const changes: Record<string, unknown> = {};
  if (!nf4) changes.quantization_config = undefined;
  else if (!keys.has('quantization_config')) changes.quantization_config = NF4_CONFIG;
  if (dtype === 'source') return editObject(text, changes);
  if (keys.has('dtype')) changes.dtype = TORCH_DTYPE[dtype];
  if (keys.has('torch_dtype') || !keys.has('dtype')) changes.torch_dtype = TORCH_DTYPE[dtype];
  return editObject(text, changes);
}

/** generation_config.json for a model that has none: the token ids of its config, as transformers derives it. */
export function derivedGenerationConfig(config: Readonly<Record<string, unknown>>): string {
  const ids: Record<string, unknown> = { _from_model_config: true };
  for (const key of ['bos_token_id', 'eos_token_id', 'pad_token_id']) if (config[key] != null) ids[key] = config[key];
  return `${JSON.stringify(ids, null, 2)}\n`;
}

/** Files that belong to a model beside its weights and configs, copied as they are. */
export const COMPANION_FILES: readonly string[] = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'tokenizer.model',
  'vocab.json',
  'merges.txt',
  'chat_template.jinja',
  'chat_template.json',
];
