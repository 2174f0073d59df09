/**
 * Random weights of a Llama model as a checkpoint holds them: the names, shapes, dtypes and order of transformers, with
 * statistics of a freshly initialised model, so that losses are finite and gradients are not zero.
 */
import type { OutputTensor } from '../../export/safetensors-out';
import { quantState } from '../../formats/bnb-nf4';
import { f32ToBf16 } from '../../formats/float';
import { dynamicMap, NF4_CODE, NF4_THRESHOLDS } from '../../formats/nf4-codec';
import { elementCount } from '../../formats/safetensors';
import { type LlamaConfig, projectionShapes } from '../../model/config';
import { normalQuantile, RandomBits } from './random';

export type CheckpointFormat = 'bf16' | 'bnb-4bit';

export interface RandomWeights {
  config: LlamaConfig;
  format: CheckpointFormat;
  /** A whole number; the same seed gives the same bytes. */
  seed: number;
  /** Standard deviation of embedding and linear layers, transformers' initializer_range. */
  std: number;
}

const PIECE_WORDS = 2 ** 20;
const BLOCK = 64;
const NESTED_BLOCK = 256;
/** About the median of the largest of 64 normal values. */
const BLOCK_MAXIMUM = 2.55;

/** For each 16 random bits a bfloat16 value around `mean`. */
const bf16Table = (mean: number, std: number): Uint16Array =>
  f32ToBf16(Float32Array.from({ length: 65536 }, (_, i) => mean + std * normalQuantile((i + 0.5) / 65536)));

/** For each 8 random bits an NF4 code, as often as quantising normal values gives it. */
const nf4Codes = Uint8Array.from({ length: 256 }, (_, i) => {
  const x = normalQuantile((i + 0.5) / 256) / BLOCK_MAXIMUM;
  return NF4_THRESHOLDS.reduce((code, threshold) => code + Number(x > threshold), 0);
});
/** For each 16 random bits two of them. */
const nf4Table = Uint8Array.from({ length: 65536 }, (_, i) => (nf4Codes[i >> 8] << 4) | nf4Codes[i & 255]);
const codeRms = Math.sqrt(nf4Codes.reduce((sum, code) => sum + NF4_CODE[code] ** 2, 0) / 256);

/** `count` values, each the table's for 16 random bits, in pieces of 4 MiB or less that share their memory. */
function* looked(bits: RandomBits, table: Uint8Array | Uint16Array, count: number): Iterable<Uint8Array> {
  const most = Math.min(count, 2 * PIECE_WORDS);
  const words = new Uint32Array(Math.ceil(most / 2));
  const halves = new Uint16Array(words.buffer);
  const out = table instanceof Uint8Array ? new Uint8Array(most) : new Uint16Array(most);
  for (let done = 0; done < count; done += most) {
    const length = Math.min(most, count - done);
    bits.fill(words);
    for (let i = 0; i < length; i++) out[i] = table[halves[i]];
    yield new Uint8Array(out.buffer, 0, length * table.BYTES_PER_ELEMENT);
  }
}

/** Plain random bytes. */
function randomBytes(bits: RandomBits, count: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(count / 4));
  bits.fill(words);
  return new Uint8Array(words.buffer, 0, count);
}

function nf4Weight(name: string, shape: readonly [number, number], seed: number, std: number): OutputTensor[] {
  const elements = elementCount(shape);
  const blocks = Math.ceil(elements / BLOCK);
  const nestedBlocks = Math.ceil(blocks / NESTED_BLOCK);
  const mean = Math.fround(std / codeRms);
  const bits = (part: string) => new RandomBits(seed, name + part);
  const small = (suffix: string, dtype: 'F32' | 'U8', count: number, bytes: () => Uint8Array): OutputTensor => ({
    name: name + suffix,
    dtype,
    shape: [count],
    bytes: () => [bytes()],
  });
  const floats = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  // Block maxima are the mean and at most 0.6 of it more or less.
  const nestedAbsmax = () =>
    Float32Array.from(randomBytes(bits('.nested_absmax'), nestedBlocks), (b) => mean * (0.4 + b / 1280));
  const state = quantState({ blocksize: BLOCK, nested: { blocksize: NESTED_BLOCK, offset: mean } }, shape, 'bfloat16');
  return [
    {
      name,
      dtype: 'U8',
      shape: [elements / 2, 1],
      bytes: () => looked(bits(''), nf4Table, elements / 2),
    },
    small('.absmax', 'U8', blocks, () => randomBytes(bits('.absmax'), blocks)),
    small('.nested_absmax', 'F32', nestedBlocks, () => floats(nestedAbsmax())),
    small('.nested_quant_map', 'F32', NESTED_BLOCK, () => floats(dynamicMap(true))),
    small('.quant_map', 'F32', 16, () => floats(NF4_CODE as Float32Array)),
    small('.quant_state.bitsandbytes__nf4', 'U8', state.length, () => state),
  ];
}

/** Every tensor, in the order of transformers' state dict. Their bytes are made when asked for, a piece at a time. */
export function randomTensors({ config: c, format, seed, std }: RandomWeights): OutputTensor[] {
  const tensors: OutputTensor[] = [];
  const tables = new Map<string, Uint16Array>();
  const add = (name: string, shape: readonly number[], mean: number, deviation: number) => {
    const key = `${mean} ${deviation}`;
    const table = tables.get(key) ?? bf16Table(mean, deviation);
    tables.set(key, table);
    const bytes = () => looked(new RandomBits(seed, name), table, elementCount(shape));
    tensors.push({ name, dtype: 'BF16', shape, bytes });
  };
  const norm = (name: string) => add(name, [c.hiddenSize], 1, 0.05);
  // What is added to the residual stream is scaled down as in GPT-2, so that depth does not let it grow.
  const added = std / Math.sqrt(2 * c.layers);
  add('model.embed_tokens.weight', [c.vocabSize, c.hiddenSize], 0, std);
  for (let i = 0; i < c.layers; i++) {
    const layer = `model.layers.${i}`;
    for (const [module, shape] of Object.entries(projectionShapes(c))) {
      const name = `${layer}.${/^[qkvo]_/.test(module) ? 'self_attn' : 'mlp'}.${module}.weight`;
      const deviation = module === 'o_proj' || module === 'down_proj' ? added : std;
      if (format === 'bnb-4bit') tensors.push(...nf4Weight(name, shape as [number, number], seed, deviation));
      else add(name, shape, 0, deviation);
    }
    norm(`${layer}.input_layernorm.weight`);
    norm(`${layer}.post_attention_layernorm.weight`);
  }
  norm('model.norm.weight');
  if (!c.tieWordEmbeddings) add('lm_head.weight', [c.vocabSize, c.hiddenSize], 0, std);
  return tensors;
}
