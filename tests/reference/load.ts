/** Reads Hugging Face model directories and PEFT adapters into float64 (Node only, own reader, independent of src). */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LayerWeights, type LlamaShape, PROJECTIONS } from './layer';
import { type Adapter, type LlamaModel, peftKey } from './model';
import { dequantiseNf4 } from './nf4';
import { type RopeScaling, ropeInvFreq } from './rope';

export interface Tensor {
  shape: number[];
  data: Float64Array;
}

const readers: Record<string, [bytes: number, read: (view: DataView, at: number) => number]> = {
  F32: [4, (view, at) => view.getFloat32(at, true)],
  BF16: [2, (view, at) => bitsToFloat(view.getUint16(at, true) << 16)],
  F16: [2, (view, at) => halfToFloat(view.getUint16(at, true))],
  U8: [1, (view, at) => view.getUint8(at)],
};

const scratch = new DataView(new ArrayBuffer(4));
function bitsToFloat(bits: number): number {
  scratch.setInt32(0, bits);
  return scratch.getFloat32(0);
}

export function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** All tensors of one safetensors file. */
export function readSafetensors(path: string): Map<string, Tensor> {
  const file = readFileSync(path);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const headerLength = Number(view.getBigUint64(0, true));
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerLength));
  const tensors = new Map<string, Tensor>();
  for (const [name, info] of Object.entries<{ dtype: string; shape: number[]; data_offsets: number[] }>(header)) {
    if (name === '__metadata__') continue;
    const [bytes, read] = readers[info.dtype] ?? [];
    if (!bytes || !read) throw new Error(`${path}: ${name} has dtype ${info.dtype}, which the reference cannot read`);
    const data = new Float64Array(info.shape.reduce((a, b) => a * b, 1));
    const start = 8 + headerLength + info.data_offsets[0];
    for (let i = 0; i < data.length; i++) data[i] = read(view, start + i * bytes);
    tensors.set(name, { shape: info.shape, data });
  }
  return tensors;
}

const NF4_STATE = '.quant_state.bitsandbytes__nf4';

/** Replaces every NF4 weight of a bitsandbytes checkpoint by its numbers. */
function dequantiseAll(tensors: Map<string, Tensor>): void {
  for (const key of [...tensors.keys()].filter((name) => name.endsWith(NF4_STATE))) {
    const name = key.slice(0, -NF4_STATE.length);
    const state = JSON.parse(String.fromCharCode(...tensors.get(key)!.data));
    const part = (suffix: string) => tensors.get(`${name}${suffix}`)?.data;
    const nestedMap = part('.nested_quant_map');
    const data = dequantiseNf4({
      packed: part('')!,
      quantMap: part('.quant_map')!,
      blocksize: state.blocksize,
      absmax: part('.absmax')!,
      nested: nestedMap && {
        map: nestedMap,
        absmax: part('.nested_absmax')!,
        blocksize: state.nested_blocksize,
        offset: state.nested_offset,
      },
    });
    tensors.set(name, { shape: state.shape, data });
  }
}

/** transformers 4 spells it rope_theta + rope_scaling, transformers 5 rope_parameters. */
function readRope(config: Record<string, unknown>): { theta: number; scaling?: RopeScaling } {
  const raw = (config.rope_parameters ?? config.rope_scaling ?? {}) as Record<string, unknown>;
  const theta = Number(raw.rope_theta ?? config.rope_theta ?? 10_000);
  const type = String(raw.rope_type ?? raw.type ?? 'default');
  if (type === 'default') return { theta };
  if (type === 'linear') return { theta, scaling: { type, factor: Number(raw.factor) } };
  if (type !== 'llama3') throw new Error(`rope type ${type} is not known to the reference`);
  return {
    theta,
    scaling: {
      type,
      factor: Number(raw.factor),
      lowFreqFactor: Number(raw.low_freq_factor),
      highFreqFactor: Number(raw.high_freq_factor),
      originalMaxPosition: Number(raw.original_max_position_embeddings),
    },
  };
}

/** A Llama model directory: config.json and *.safetensors, dense or with bitsandbytes NF4 weights (dequantised). */
export function loadModel(dir: string): LlamaModel {
  const config = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8'));
  const shape: LlamaShape = {
    hidden: config.hidden_size,
    intermediate: config.intermediate_size,
    layers: config.num_hidden_layers,
    heads: config.num_attention_heads,
    kvHeads: config.num_key_value_heads ?? config.num_attention_heads,
    headDim: config.head_dim ?? config.hidden_size / config.num_attention_heads,
    vocab: config.vocab_size,
    rmsEps: config.rms_norm_eps,
  };
  const tensors = new Map<string, Tensor>();
  for (const file of readdirSync(dir).filter((name) => name.endsWith('.safetensors') && !name.startsWith('adapter'))) {
    for (const [name, tensor] of readSafetensors(join(dir, file))) tensors.set(name, tensor);
  }
  dequantiseAll(tensors);
  const get = (name: string): Float64Array => {
    const tensor = tensors.get(name);
    if (!tensor) throw new Error(`${dir} has no tensor ${name}`);
    return tensor.data;
  };
  const layers: LayerWeights[] = [];
  for (let i = 0; i < shape.layers; i++) {
    const at = `model.layers.${i}.`;
    const projections = PROJECTIONS.map((name) => [
      name,
      get(peftKey(i, name, 'a').replace('base_model.model.', '').replace('lora_A.', '')),
    ]);
    layers.push({
      ...Object.fromEntries(projections),
      input_layernorm: get(`${at}input_layernorm.weight`),
      post_attention_layernorm: get(`${at}post_attention_layernorm.weight`),
    } as LayerWeights);
  }
  const rope = readRope(config);
  const embed = get('model.embed_tokens.weight');
  return {
    shape,
    invFreq: ropeInvFreq(shape.headDim, rope.theta, rope.scaling),
    embed,
    layers,
    norm: get('model.norm.weight'),
    lmHead: config.tie_word_embeddings ? embed : get('lm_head.weight'),
  };
}

/** A PEFT adapter file; `alpha` and `rslora` come from adapter_config.json. */
export function loadAdapter(path: string, layers: number, alpha: number, rslora = false): Adapter {
  const tensors = readSafetensors(path);
  const adapter: Adapter = [];
  for (let i = 0; i < layers; i++) {
    adapter.push({});
    for (const name of PROJECTIONS) {
      const a = tensors.get(peftKey(i, name, 'a'));
      const b = tensors.get(peftKey(i, name, 'b'));
      if (!a || !b) continue;
      const rank = a.shape[0];
      const magnitude = tensors.get(peftKey(i, name, 'magnitude'))?.data;
      adapter[i][name] = { a: a.data, b: b.data, rank, scale: alpha / (rslora ? Math.sqrt(rank) : rank), magnitude };
    }
  }
  return adapter;
}
