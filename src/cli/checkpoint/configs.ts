/** config.json of the checkpoints that are made: a published shape's, or a given one with the format's entries. */
import { NF4_CONFIG } from '../../formats/bnb-nf4';
import type { LlamaConfig, RopeConfig } from '../../model/config';
import { KNOWN_CONFIGS } from '../../model/known-configs';
import type { CheckpointFormat } from './tensors';

type Json = Record<string, unknown>;

const ropeScaling = (rope: RopeConfig) => ({
  factor: rope.factor,
  high_freq_factor: rope.highFreqFactor,
  low_freq_factor: rope.lowFreqFactor,
  original_max_position_embeddings: rope.originalMaxPositions,
  rope_type: rope.type,
});

/** As Meta publishes it. */
const publishedConfig = (c: LlamaConfig): Json => ({
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  attention_dropout: 0,
  head_dim: c.headDim,
  hidden_act: 'silu',
  hidden_size: c.hiddenSize,
  initializer_range: 0.02,
  intermediate_size: c.intermediateSize,
  max_position_embeddings: c.maxPositions,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: c.heads,
  num_hidden_layers: c.layers,
  num_key_value_heads: c.kvHeads,
  pretraining_tp: 1,
  rms_norm_eps: c.rmsNormEps,
  rope_scaling: c.rope.type === 'default' ? null : ropeScaling(c.rope),
  rope_theta: c.rope.theta,
  tie_word_embeddings: c.tieWordEmbeddings,
  use_cache: true,
  vocab_size: c.vocabSize,
});

/** The config of a published model by id or title, in any case. Undefined for other names. */
export function knownConfig(name: string): Json | undefined {
  const plain = (text: string) => text.toLowerCase().replaceAll(/[\s-]/g, '');
  const known = KNOWN_CONFIGS.find(({ id, title }) => [id, title].some((text) => plain(text) === plain(name)));
  return known && publishedConfig(known.config);
}

/** A config with what the format and the tokenizer (its special tokens' ids) say. */
export function checkpointConfig(config: Json, format: CheckpointFormat, tokens: Json): Json {
  const { quantization_config: _, dtype, torch_dtype, ...rest } = config;
  const newer = dtype !== undefined && torch_dtype === undefined;
  return {
    ...rest,
    ...tokens,
    [newer ? 'dtype' : 'torch_dtype']: 'bfloat16',
    ...(format === 'bnb-4bit' ? { quantization_config: NF4_CONFIG } : {}),
  };
}
