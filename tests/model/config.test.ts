/** config.json in its spellings, what is refused and how, and the tables that follow from it. */
import { describe, expect, test } from 'vitest';
import { ConfigError, parameterCount, parseConfig } from '../../src/model/config';
import { inverseFrequencies, ropeTable } from '../../src/model/rope';
import { ropeInvFreq } from '../reference/rope';

/** Llama-3.2-1B as Meta publishes it. */
const LLAMA_1B = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  attention_bias: false,
  head_dim: 64,
  hidden_act: 'silu',
  hidden_size: 2048,
  intermediate_size: 8192,
  max_position_embeddings: 131072,
  mlp_bias: false,
  num_attention_heads: 32,
  num_hidden_layers: 16,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-5,
  rope_scaling: {
    factor: 32,
    high_freq_factor: 4,
    low_freq_factor: 1,
    original_max_position_embeddings: 8192,
    rope_type: 'llama3',
  },
  rope_theta: 500000,
  tie_word_embeddings: true,
  vocab_size: 128256,
};

const LLAMA_8B = {
  ...LLAMA_1B,
  head_dim: undefined,
  hidden_size: 4096,
  intermediate_size: 14336,
  num_hidden_layers: 32,
  rope_scaling: null,
  max_position_embeddings: 8192,
  tie_word_embeddings: false,
};

describe('parseConfig', () => {
  test('Llama-3.2-1B and Llama-3-8B', () => {
    const small = parseConfig(LLAMA_1B);
    expect(small).toMatchObject({ headDim: 64, kvHeads: 8, tieWordEmbeddings: true, rmsNormEps: 1e-5 });
    expect(small.rope).toMatchObject({ type: 'llama3', theta: 500000, factor: 32, originalMaxPositions: 8192 });
    expect(parameterCount(small)).toBe(1_235_814_400);
    const large = parseConfig(LLAMA_8B);
    expect(large).toMatchObject({ headDim: 128, rope: { type: 'default', theta: 500000 } });
    expect(parameterCount(large)).toBe(8_030_261_248);
  });

  test('transformers 5 keeps all of RoPE in rope_parameters', () => {
    const { rope_scaling, rope_theta, ...rest } = LLAMA_1B;
    const parsed = parseConfig({ ...rest, rope_parameters: { ...rope_scaling, rope_theta } });
    expect(parsed).toEqual(parseConfig(LLAMA_1B));
    const plain = parseConfig({ ...rest, rope_parameters: { rope_type: 'default', rope_theta: 1e6 } });
    expect(plain.rope).toMatchObject({ type: 'default', theta: 1e6 });
  });

  test('the older "type" of linear scaling', () => {
    const { rope } = parseConfig({ ...LLAMA_8B, rope_scaling: { type: 'linear', factor: 2 } });
    expect(rope).toMatchObject({ type: 'linear', factor: 2 });
  });

  test('what may be absent', () => {
    const { rope_theta, num_key_value_heads, head_dim, ...rest } = LLAMA_8B;
    expect(parseConfig(rest)).toMatchObject({ kvHeads: 32, headDim: 128, rope: { theta: 10000 } });
  });

  test.each([
    [{ model_type: 'gpt2' }, /This is a gpt2 model, which is not supported\. Llama and models of its architecture/],
    [{ model_type: undefined, architectures: ['BloomForCausalLM'] }, /This is a BloomForCausalLM model/],
    [{ model_type: undefined, architectures: undefined }, /does not say what model this is/],
    [{ architectures: ['LlamaForSequenceClassification'] }, /LlamaForSequenceClassification, not a model that writes/],
    [{ model_type: 'smollm3' }, /This is a smollm3 model/],
    [{ model_type: 'mistral', sliding_window: 4096 }, /mistral model with a sliding window \(of 4096 tokens\)/],
    [{ model_type: 'mistral' }, /mistral model with a sliding window \(of 4096 tokens\).*Mistral-7B-v0.2 and later/],
    [{ hidden_act: 'gelu' }, /gelu/],
    [{ attention_bias: true }, /biases \(attention_bias true\)/],
    [{ mlp_bias: true }, /biases \(mlp_bias true\)/],
    [{ rope_scaling: { rope_type: 'yarn', factor: 4 } }, /yarn.*default, linear and llama3 are/],
    [{ rope_scaling: { type: 'dynamic', factor: 4 } }, /dynamic/],
    [{ rope_parameters: { rope_type: 'longrope', rope_theta: 1e4 } }, /longrope/],
    [{ rope_scaling: { rope_type: 'llama3', factor: 4 } }, /low_freq_factor/],
    [{ rope_theta: '500000' }, /no usable rope_theta/],
    [
      { rope_parameters: { rope_type: 'default', rope_theta: 1e4, partial_rotary_factor: 0.5 } },
      /partial_rotary_factor/,
    ],
    [{ rope_interleaved: true }, /Interleaved RoPE/],
    [{ vocab_size: undefined }, /vocab_size/],
    [{ hidden_size: 'large' }, /hidden_size/],
    [{ num_hidden_layers: 0 }, /num_hidden_layers is 0; it must be a whole number/],
    [{ head_dim: null, num_attention_heads: 24 }, /head_dim is 85\.3/],
    [{ num_key_value_heads: 5 }, /32 heads cannot share 5/],
    [{ intermediate_size: 8190 }, /intermediateSize 8190 is not a multiple of 4/],
  ])('%j is refused by name', (change, message) => {
    const parse = () => parseConfig({ ...LLAMA_1B, ...change });
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(message);
  });
});

// As their repositories have them, without what the engine does not read.
describe('other models of the architecture', () => {
  const common = { architectures: ['LlamaForCausalLM'], model_type: 'llama', hidden_act: 'silu', rope_scaling: null };

  test('Mistral without a sliding window', () => {
    const mistral = {
      architectures: ['MistralForCausalLM'],
      attention_dropout: 0,
      hidden_act: 'silu',
      hidden_size: 4096,
      intermediate_size: 14336,
      max_position_embeddings: 32768,
      model_type: 'mistral',
      num_attention_heads: 32,
      num_hidden_layers: 32,
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      rope_theta: 1000000,
      sliding_window: null,
      tie_word_embeddings: false,
      torch_dtype: 'bfloat16',
      vocab_size: 32768,
    };
    const parsed = parseConfig(mistral);
    expect(parameterCount(parsed)).toBe(7_248_023_552);
    expect(parsed).toMatchObject({ headDim: 128, rope: { theta: 1e6, type: 'default' }, tieWordEmbeddings: false });
    const { num_key_value_heads, ...unsaid } = mistral;
    expect(parseConfig(unsaid).kvHeads).toBe(8);
    expect(parseConfig({ ...unsaid, num_key_value_heads: null }).kvHeads).toBe(32);
  });

  test('SmolLM2-135M: a tied head, nine heads', () => {
    const parsed = parseConfig({
      ...common,
      attention_bias: false,
      hidden_size: 576,
      intermediate_size: 1536,
      is_llama_config: true,
      max_position_embeddings: 8192,
      num_attention_heads: 9,
      num_hidden_layers: 30,
      num_key_value_heads: 3,
      rms_norm_eps: 1e-5,
      rope_interleaved: false,
      rope_theta: 100000,
      tie_word_embeddings: true,
      vocab_size: 49152,
    });
    expect(parameterCount(parsed)).toBe(134_515_008);
    expect(parsed).toMatchObject({ headDim: 64, kvHeads: 3, tieWordEmbeddings: true, rope: { theta: 1e5 } });
  });

  test('TinyLlama-1.1B: neither head_dim nor rope_theta nor biases stated', () => {
    const parsed = parseConfig({
      ...common,
      hidden_size: 2048,
      intermediate_size: 5632,
      max_position_embeddings: 2048,
      num_attention_heads: 32,
      num_hidden_layers: 22,
      num_key_value_heads: 4,
      pretraining_tp: 1,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: false,
      torch_dtype: 'float32',
      vocab_size: 32000,
    });
    expect(parameterCount(parsed)).toBe(1_100_048_384);
    expect(parsed).toMatchObject({ headDim: 64, kvHeads: 4, rope: { theta: 10000, type: 'default' } });
  });
});

describe('RoPE', () => {
  // Values of transformers' own function, float32 (spec 8).
  test('llama3 frequencies of the 1B', () => {
    const inv = inverseFrequencies(parseConfig(LLAMA_1B).rope, 64);
    const expected: [number, number][] = [
      [0, 1],
      [1, 0.663601238],
      [14, 0.00321144599],
      [15, 0.00129054793],
      [16, 0.000429556797],
      [17, 9.7082878e-5],
      [18, 1.94616382e-5],
      [31, 9.41830673e-8],
    ];
    for (const [i, value] of expected) expect(Math.abs(inv[i] / value - 1), `index ${i}`).toBeLessThan(3e-7);
  });

  test('llama3 frequencies of the 3.1-8B', () => {
    const rope = { ...parseConfig(LLAMA_1B).rope, factor: 8 };
    const inv = inverseFrequencies(rope, 128);
    const expected: [number, number][] = [
      [26, 0.00483942135],
      [28, 0.00321144599],
      [29, 0.00216657076],
      [33, 0.00031269375],
      [34, 0.000178507813],
      [35, 9.55621235e-5],
      [63, 3.06892599e-7],
    ];
    for (const [i, value] of expected) expect(Math.abs(inv[i] / value - 1), `index ${i}`).toBeLessThan(3e-7);
  });

  test('default and linear against the reference', () => {
    const { rope } = parseConfig(LLAMA_8B);
    for (const [ours, theirs] of [
      [inverseFrequencies(rope, 128), ropeInvFreq(128, 500000)],
      [
        inverseFrequencies({ ...rope, type: 'linear', factor: 4 }, 64),
        ropeInvFreq(64, 500000, { type: 'linear', factor: 4 }),
      ],
    ]) {
      ours.forEach((v, i) => {
        expect(Math.abs(v / theirs[i] - 1)).toBeLessThan(3e-7);
      });
    }
  });

  test('the table holds cos and sin of float32 angles, far positions too', () => {
    const { rope } = parseConfig(LLAMA_8B);
    const table = ropeTable(rope, 8, 3000);
    const inv = inverseFrequencies(rope, 8);
    for (const t of [0, 1, 1500, 2999]) {
      for (let d = 0; d < 4; d++) {
        const angle = Math.fround(t * inv[d]);
        expect(table[(t * 4 + d) * 2]).toBe(Math.fround(Math.cos(angle)));
        expect(table[(t * 4 + d) * 2 + 1]).toBe(Math.fround(Math.sin(angle)));
      }
    }
  });
});
