/** Random models of the float64 reference as checkpoints, loaded by the engine; packs, adapters and comparisons. */
import type { Pack, PairScales } from '../../src/data/packing';
import { packPairs, pairShape } from '../../src/data/packing';
import type { TokenizedPair } from '../../src/data/types';
import { nf4Tensors } from '../../src/formats/bnb-nf4';
import { memoryFiles } from '../../src/formats/bytes';
import { Checkpoint } from '../../src/formats/checkpoint';
import { quantizeNf4 } from '../../src/formats/nf4-codec';
import type { AdapterTensor } from '../../src/formats/peft';
import { type Dtype, serializeSafetensorsHeader } from '../../src/formats/safetensors';
import { Commands } from '../../src/gpu/commands';
import type { Gpu } from '../../src/gpu/device';
import { Memory } from '../../src/gpu/memory';
import { type KernelProfile, profileFor } from '../../src/gpu/profile';
import { parseConfig } from '../../src/model/config';
import { loadModel, type OpenModel } from '../../src/model/load';
import type { PackCapacity } from '../../src/model/plan';
import { loadWeights } from '../../src/model/weights';
import { projectionShape } from '../reference/layer';
import { type Adapter, adapterTensors, type LlamaModel, peftKey } from '../reference/model';
import { dequantiseNf4 } from '../reference/nf4';
import { testDevice } from '../support/gpu';

export const device = await testDevice();

export const testGpu = (profile: KernelProfile = profileFor(device, true)): Gpu => ({
  device,
  info: {} as GPUAdapterInfo,
  isSoftware: true,
  profile,
  support: { tiers: ['f32'], matrix: null, missing: {} },
  faults: [],
  lost: new Promise(() => {}),
});

export type RopeJson = Record<string, unknown>;

function configOf(model: LlamaModel, rope: RopeJson) {
  const { shape } = model;
  return {
    model_type: 'llama',
    vocab_size: shape.vocab,
    hidden_size: shape.hidden,
    intermediate_size: shape.intermediate,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.headDim,
    max_position_embeddings: 512,
    rms_norm_eps: shape.rmsEps,
    tie_word_embeddings: model.lmHead === model.embed,
    rope_theta: 10000,
    ...rope,
  };
}

interface Stored {
  name: string;
  dtype: Dtype;
  shape: readonly number[];
  bytes: Uint8Array;
}

/** A model.safetensors of these tensors. */
export function safetensors(tensors: readonly Stored[]): Uint8Array {
  const { header, tensors: laid, size } = serializeSafetensorsHeader(tensors);
  const file = new Uint8Array(size);
  file.set(header);
  for (const { name, begin } of laid) file.set(tensors.find((t) => t.name === name)!.bytes, begin);
  return file;
}

const f32 = (name: string, shape: readonly number[], values: Float64Array): Stored => ({
  name,
  dtype: 'F32',
  shape,
  bytes: new Uint8Array(Float32Array.from(values).buffer),
});

/**
 * The files of a checkpoint with the reference's weights. With `nf4` the projections are quantised, and the model's own
 * values become what the quantised bytes mean.
 */
export function checkpointFiles(model: LlamaModel, { rope = {} as RopeJson, nf4 = false } = {}) {
  const { shape } = model;
  const tensors: Stored[] = [f32('model.embed_tokens.weight', [shape.vocab, shape.hidden], model.embed)];
  model.layers.forEach((layer, i) => {
    for (const [name, values] of Object.entries(layer)) {
      if (name.endsWith('layernorm')) {
        tensors.push(f32(`model.layers.${i}.${name}.weight`, [shape.hidden], values));
        continue;
      }
      const projection = name as Parameters<typeof projectionShape>[1];
      const size = projectionShape(shape, projection);
      const full = peftKey(i, projection, 'a').replace('base_model.model.', '').replace('.lora_A', '');
      if (!nf4) tensors.push(f32(full, size, values));
      else {
        const q = quantizeNf4(Float32Array.from(values));
        tensors.push(...nf4Tensors(full, q, size, 'bfloat16'));
        const { codes, ...nested } = q.nested!;
        const quantMap = new Float32Array(tensors.find((t) => t.name === `${full}.quant_map`)!.bytes.slice().buffer);
        values.set(dequantiseNf4({ packed: q.packed, quantMap, blocksize: 64, absmax: codes, nested }));
      }
    }
  });
  tensors.push(f32('model.norm.weight', [shape.hidden], model.norm));
  if (model.lmHead !== model.embed) tensors.push(f32('lm_head.weight', [shape.vocab, shape.hidden], model.lmHead));
  return memoryFiles({
    'config.json': JSON.stringify(configOf(model, rope)),
    'model.safetensors': safetensors(tensors),
  });
}

export const openModel = (
  model: LlamaModel,
  options: Parameters<typeof checkpointFiles>[1] = {},
  profile?: KernelProfile,
): Promise<OpenModel> => loadModel(testGpu(profile), checkpointFiles(model, options));

/** The same with weights cut into parts of at most so many bytes, as a device would that binds no more. */
export async function openInParts(
  model: LlamaModel,
  bindingLimit: number,
  options: Parameters<typeof checkpointFiles>[1] = {},
): Promise<OpenModel> {
  const gpu = testGpu();
  const files = checkpointFiles(model, options);
  const checkpoint = await Checkpoint.open(files);
  const config = parseConfig(checkpoint.config);
  const limits = { ...copyLimits(device.limits), maxStorageBufferBindingSize: bindingLimit };
  const small = new Proxy(device, {
    get(target, key) {
      if (key === 'limits') return limits;
      const value = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const weightMemory = new Memory(small);
  const cmd = new Commands(device);
  const weights = await loadWeights(checkpoint, config, cmd, weightMemory);
  return { gpu, cmd, config, weights, weightMemory, checkpoint };
}

function copyLimits(limits: GPUSupportedLimits): Record<string, number> {
  const copy: Record<string, number> = {};
  for (const name in limits) copy[name] = limits[name as keyof GPUSupportedLimits] as number;
  return copy;
}

/** The reference's adapter as the engine takes it. */
export function adapterMap(adapter: Adapter): Map<string, AdapterTensor> {
  const out = new Map<string, AdapterTensor>();
  for (const [name, values] of adapterTensors(adapter)) {
    const rank = Object.values(adapter[0])[0].rank;
    const shape = name.includes('lora_A') ? [rank, values.length / rank] : [values.length / rank, rank];
    out.set(name, { name, shape, values: Float32Array.from(values) });
  }
  return out;
}

/** Scales of the pairs of some micro-batches in one optimizer step: 1 / (G N) and beta / (G B). */
export function scalesOf(micros: readonly TokenizedPair[][], nllOnPrompt: boolean, beta: number): PairScales[][] {
  return micros.map((pairs) => {
    const tokens = pairs.reduce((sum, pair) => sum + pairShape(pair, nllOnPrompt, 16).nllTokens, 0);
    const scales = { nll: 1 / (micros.length * tokens), oddsRatio: beta / (micros.length * pairs.length) };
    return pairs.map(() => scales);
  });
}

/** One pack of several micro-batches, or of a part of a step with scales made for all of it. */
export function packOf(pairs: TokenizedPair[], scales: PairScales[], nllOnPrompt: boolean, tile: number): Pack {
  const shaped = pairs.map((pair, i) => ({ pair, shape: pairShape(pair, nllOnPrompt, tile), scales: scales[i] }));
  return packPairs(shaped, nllOnPrompt, tile);
}

/** Room for the largest of some packs. */
export function capacityFor(packs: readonly Pack[], headTile?: PackCapacity['headTile']): PackCapacity {
  const most = (key: 'tokens' | 'rows' | 'entries' | 'tiles' | 'pairs') => Math.max(...packs.map((p) => p[key]));
  return {
    tokens: most('tokens'),
    rows: most('rows'),
    entries: most('entries'),
    tiles: most('tiles'),
    pairs: most('pairs'),
    positions: 1 + Math.max(...packs.flatMap((p) => [...p.positions])),
    headTile,
  };
}

/**
 * Unit roundings: the reference's numbers with every weight and adapter value moved by one rounding of float32, up or
 * down at random. How far that moves a result is what one rounding per value is worth for this very model and batch; an
 * f32 run makes about one for each term of its longest sums, so the distance allowed is that many times as large.
 */
export function jittered(model: LlamaModel, adapter: Adapter, rng: { uniform(): number }): [LlamaModel, Adapter] {
  const move = (values: Float64Array) => values.map((v) => v * (1 + (rng.uniform() < 0.5 ? -1 : 1) * 2 ** -23));
  const embed = move(model.embed);
  const layers = model.layers.map((layer) =>
    Object.fromEntries(Object.entries(layer).map(([name, values]) => [name, move(values)])),
  ) as LlamaModel['layers'];
  const lmHead = model.lmHead === model.embed ? embed : move(model.lmHead);
  const moved = adapter.map((loras) =>
    Object.fromEntries(Object.entries(loras).map(([name, l]) => [name, { ...l, a: move(l.a), b: move(l.b) }])),
  ) as Adapter;
  return [{ ...model, embed, layers, lmHead, norm: move(model.norm) }, moved];
}
