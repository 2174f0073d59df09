/** The architecture of a Llama checkpoint, from its config.json in any of transformers' spellings. */

export interface RopeConfig {
  theta: number;
  type: 'default' | 'linear' | 'llama3';
  factor: number;
  lowFreqFactor: number;
  highFreqFactor: number;
  originalMaxPositions: number;
}

export interface LlamaConfig {
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  maxPositions: number;
  rmsNormEps: number;
  tieWordEmbeddings: boolean;
  rope: RopeConfig;
}

/** A config.json that this engine cannot run, with the reason. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'unsupported-model';
}

type Json = Record<string, unknown>;

function number(config: Json, key: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new ConfigError(`config.json has no usable ${key}.`);
  }
  return value;
}

/** transformers 5 keeps theta inside rope_parameters; before, rope_theta and rope_scaling stood side by side. */
function parseRope(config: Json, maxPositions: number): RopeConfig {
  const scaling = (config.rope_parameters ?? config.rope_scaling ?? {}) as Json;
  const type = (scaling.rope_type ?? scaling.type ?? 'default') as string;
  if (type !== 'default' && type !== 'linear' && type !== 'llama3') {
    throw new ConfigError(`RoPE scaling "${type}" is not supported; default, linear and llama3 are.`);
  }
  return {
    theta: number(scaling, 'rope_theta', typeof config.rope_theta === 'number' ? config.rope_theta : 10000),
    type,
    factor: type === 'default' ? 1 : number(scaling, 'factor'),
    lowFreqFactor: type === 'llama3' ? number(scaling, 'low_freq_factor') : 1,
    highFreqFactor: type === 'llama3' ? number(scaling, 'high_freq_factor') : 1,
    originalMaxPositions: type === 'llama3' ? number(scaling, 'original_max_position_embeddings') : maxPositions,
  };
}

/** @throws ConfigError naming what is not supported or missing */
export function parseConfig(config: Json): LlamaConfig {
  const type = config.model_type;
  const windowed = config.sliding_window !== null && config.sliding_window !== undefined;
  if (type !== 'llama' && !(type === 'mistral' && !windowed)) {
    throw new ConfigError(`This is a ${String(type)} model; Llama (and Mistral without sliding window) is supported.`);
  }
  if (config.hidden_act !== undefined && config.hidden_act !== 'silu') {
    throw new ConfigError(`Activation ${String(config.hidden_act)} is not supported; silu is.`);
  }
  if (config.attention_bias === true || config.mlp_bias === true) {
    throw new ConfigError('Projections with biases are not supported.');
  }
  const hiddenSize = number(config, 'hidden_size');
  const heads = number(config, 'num_attention_heads');
  const kvHeads = number(config, 'num_key_value_heads', heads);
  const headDim = number(config, 'head_dim', hiddenSize / heads);
  const maxPositions = number(config, 'max_position_embeddings', 2048);
  const parsed: LlamaConfig = {
    vocabSize: number(config, 'vocab_size'),
    hiddenSize,
    intermediateSize: number(config, 'intermediate_size'),
    layers: number(config, 'num_hidden_layers'),
    heads,
    kvHeads,
    headDim,
    maxPositions,
    rmsNormEps: number(config, 'rms_norm_eps', 1e-6),
    tieWordEmbeddings: config.tie_word_embeddings === true,
    rope: parseRope(config, maxPositions),
  };
  if (heads % kvHeads !== 0) throw new ConfigError(`${heads} heads cannot share ${kvHeads} key-value heads.`);
  for (const [name, value] of Object.entries({ hiddenSize, headDim, intermediateSize: parsed.intermediateSize })) {
    if (value % 4 !== 0) throw new ConfigError(`${name} ${value} is not a multiple of 4.`);
  }
  return parsed;
}

/** Output and input widths of a layer's projections. */
export function projectionShapes(c: LlamaConfig): Record<string, readonly [number, number]> {
  const q = c.heads * c.headDim;
  const kv = c.kvHeads * c.headDim;
  return {
    q_proj: [q, c.hiddenSize],
    k_proj: [kv, c.hiddenSize],
    v_proj: [kv, c.hiddenSize],
    o_proj: [c.hiddenSize, q],
    gate_proj: [c.intermediateSize, c.hiddenSize],
    up_proj: [c.intermediateSize, c.hiddenSize],
    down_proj: [c.hiddenSize, c.intermediateSize],
  };
}

/** All parameters of the model; a tied head counts once. */
export function parameterCount(c: LlamaConfig): number {
  const linear = Object.values(projectionShapes(c)).reduce((sum, [rows, columns]) => sum + rows * columns, 0);
  const embeddings = c.vocabSize * c.hiddenSize * (c.tieWordEmbeddings ? 1 : 2);
  return c.layers * (linear + 2 * c.hiddenSize) + c.hiddenSize + embeddings;
}
