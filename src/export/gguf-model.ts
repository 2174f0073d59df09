/** A Llama model in GGUF's terms: hyper-parameters, tensor names and the order of rows, as llama.cpp's conversion has them. */
import type { GgufTensor, GgufValue } from '../formats/gguf';
import { Q8_BLOCK } from '../formats/gguf';
import type { LlamaConfig } from '../model/config';
import { llama3 } from '../model/rope';
import { ExportError } from './errors';

/** Of matrices; vectors are always F32. */
export type GgufType = 'F16' | 'Q8_0';

/** llama.cpp's numbers for "mostly" so. */
const FILE_TYPES = { F16: 1, Q8_0: 7 } as const;

const u32 = (value: number): GgufValue => ({ type: 'u32', value });
const f32 = (value: number): GgufValue => ({ type: 'f32', value });
const text = (value: string): GgufValue => ({ type: 'string', value });

/** Metadata of the architecture. `name` is for people. */
export function ggufModel(c: LlamaConfig, type: GgufType, name: string): Map<string, GgufValue> {
  const out = new Map<string, GgufValue>([
    ['general.architecture', text('llama')],
    ['general.type', text('model')],
    ['general.name', text(name)],
    ['general.file_type', u32(FILE_TYPES[type])],
    ['general.quantization_version', u32(2)],
    ['llama.block_count', u32(c.layers)],
    ['llama.context_length', u32(c.maxPositions)],
    ['llama.embedding_length', u32(c.hiddenSize)],
    ['llama.feed_forward_length', u32(c.intermediateSize)],
    ['llama.attention.head_count', u32(c.heads)],
    ['llama.attention.head_count_kv', u32(c.kvHeads)],
    ['llama.attention.key_length', u32(c.headDim)],
    ['llama.attention.value_length', u32(c.headDim)],
    ['llama.attention.layer_norm_rms_epsilon', f32(c.rmsNormEps)],
    ['llama.rope.freq_base', f32(c.rope.theta)],
    ['llama.rope.dimension_count', u32(c.headDim)],
    ['llama.vocab_size', u32(c.vocabSize)],
  ]);
  if (c.rope.type === 'linear') {
    out.set('llama.rope.scaling.type', text('linear'));
    out.set('llama.rope.scaling.factor', f32(c.rope.factor));
  }
  return out;
}

/** Llama 3.1's scaling, which GGUF keeps as a tensor `rope_freqs.weight`: what each frequency is divided by. Else null. */
export function ropeFactors({ rope, headDim }: LlamaConfig): Float32Array<ArrayBuffer> | null {
  if (rope.type !== 'llama3') return null;
  return Float32Array.from({ length: headDim / 2 }, (_, d) => {
    const inv = 1 / rope.theta ** ((2 * d) / headDim);
    return inv / llama3(inv, rope);
  });
}

const LAYER_NAMES: Record<string, string> = {
  input_layernorm: 'attn_norm',
  post_attention_layernorm: 'ffn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

const NAMES: Record<string, string> = {
  'model.embed_tokens.weight': 'token_embd.weight',
  'model.norm.weight': 'output_norm.weight',
  'lm_head.weight': 'output.weight',
};

/** llama.cpp's name of a weight; null for one that it works out by itself. Throws {@link ExportError} `gguf-tensor`. */
export function ggufName(name: string): string | null {
  if (name.endsWith('.rotary_emb.inv_freq')) return null;
  const layer = /^model\.layers\.(\d+)\.(.+)\.weight$/u.exec(name);
  const known = layer ? LAYER_NAMES[layer[2]] && `blk.${layer[1]}.${LAYER_NAMES[layer[2]]}.weight` : NAMES[name];
  if (known) return known;
  throw new ExportError(
    'gguf-tensor',
    `${name} is a tensor that llama.cpp's Llama does not have, so this model cannot be a GGUF file. Export safetensors instead.`,
  );
}

/** The table entry of a weight. Q8_0 needs rows of whole blocks; others become F16, as llama.cpp's conversion has it. */
export function ggufTensor(name: string, shape: readonly number[], type: GgufType): GgufTensor {
  if (shape.length < 2) return { name, shape, type: 'F32' };
  return { name, shape, type: type === 'Q8_0' && shape.at(-1)! % Q8_BLOCK ? 'F16' : type };
}

/** Heads whose rows change places (see {@link permuteHeads}), or null for weights that stay as they are. */
export function permutedHeads(name: string, c: LlamaConfig): number | null {
  if (name.endsWith('.q_proj.weight')) return c.heads;
  return name.endsWith('.k_proj.weight') ? c.kvHeads : null;
}

/**
 * The rows of some whole heads in the order of llama.cpp, which rotates neighbours where transformers rotates the two
 * halves of a head: row j of half h goes to place 2 j + h.
 *
 * @param rowBytes bytes of one row in whatever type
 */
export function permuteHeads(bytes: Uint8Array, headDim: number, rowBytes: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  const half = headDim / 2;
  const rows = bytes.length / rowBytes;
  for (let row = 0; row < rows; row++) {
    const within = row % headDim;
    const to = row - within + 2 * (within % half) + (within < half ? 0 : 1);
    out.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), to * rowBytes);
  }
  return out;
}
