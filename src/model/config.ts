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

const SUPPORTED = 'Llama and models of its architecture (SmolLM2, TinyLlama, Mistral without sliding window) are';

function number(config: Json, key: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new ConfigError(`config.json has no usable ${key}.`);
  }
  return value;
}

function count(config: Json, key: string, fallback?: number): number {
  const value = number(config, key, fallback);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new ConfigError(`config.json: ${key} is ${value}; it must be a whole number of at least 1.`);
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
  const share = scaling.partial_rotary_factor ?? config.partial_rotary_factor ?? 1;
  if (share !== 1) {
    throw new ConfigError(`RoPE on a part of each head (partial_rotary_factor ${share}) is not supported.`);
  }
  if (config.rope_interleaved === true) throw new ConfigError('Interleaved RoPE (rope_interleaved) is not supported.');
  return {
    theta: number(scaling, 'rope_theta', number(config, 'rope_theta', 10000)),
    type,
    factor: type === 'default' ? 1 : number(scaling, 'factor'),
    lowFreqFactor: type === 'llama3' ? number(scaling, 'low_freq_factor') : 1,
    highFreqFactor: type === 'llama3' ? number(scaling, 'high_freq_factor') : 1,
    originalMaxPositions: type === 'llama3' ? count(scaling, 'original_max_position_embeddings') : maxPositions,
  };
}

/** Refuses, by name, what is another architecture or another use of this one. */
function checkArchitecture(config: Json): void {
  const { model_type: type, architectures } = config;
  const classes = Array.isArray(architectures) ? architectures.map(String) : [];
  if (type !== 'llama' && type !== 'mistral') {
    const name = typeof type === 'string' ? type : classes[0];
    throw new ConfigError(
      name
        ? `This is a ${name} model, which is not supported. ${SUPPORTED}.`
        : `config.json does not say what model this is (model_type). ${SUPPORTED} supported.`,
    );
  }
  // Where a mistral config does not say, its class has a window of 4096.
  if (type === 'mistral' && config.sliding_window !== null) {
    throw new ConfigError(
      `This is a mistral model with a sliding window (of ${String(config.sliding_window ?? 4096)} tokens), which is not ` +
        'supported. Mistral without one is: Mistral-7B-v0.2 and later.',
    );
  }
  if (classes.length && !classes.some((name) => name.endsWith('ForCausalLM'))) {
    throw new ConfigError(`This is a ${classes[0]}, not a model that writes text. ${SUPPORTED} supported.`);
  }
  const act = config.hidden_act ?? 'silu';
  if (act !== 'silu' && act !== 'swish') {
    throw new ConfigError(`Activation ${String(act)} is not supported; silu is.`);
  }
  for (const key of ['attention_bias', 'mlp_bias']) {
    if (config[key] === true) {
      throw new ConfigError(`Projections with biases (${key} true) are not supported; those without are.`);
    }
  }
}

/**
 * The architecture that a config.json describes. What may be absent or null has the default of transformers' own config
 * class: key-value heads as many as heads, heads of hidden_size / heads values, a head that is not tied, and so on.
 *
 * @throws ConfigError naming what is not supported or missing
 */
export function parseConfig(config: Json): LlamaConfig {
  checkArchitecture(config);
  const hiddenSize = count(config, 'hidden_size');
  const heads = count(config, 'num_attention_heads');
  // Mistral's config class has a default of its own for what is absent, not for null.
  const eight = config.model_type === 'mistral' && config.num_key_value_heads === undefined;
  const kvHeads = count(config, 'num_key_value_heads', eight ? 8 : heads);
  const headDim = count(config, 'head_dim', hiddenSize / heads);
  const maxPositions = count(config, 'max_position_embeddings', 2048);
  const parsed: LlamaConfig = {
    vocabSize: count(config, 'vocab_size'),
    hiddenSize,
    intermediateSize: count(config, 'intermediate_size'),
    layers: count(config, 'num_hidden_layers'),
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
