/** The whole model: embedding, layers, final norm, head and ORPO loss, with the gradients of all adapter tensors. */
import type { PackedLayout } from './attention';
import type { PackedBatch } from './batch';
import { headBackward, headForward, rowLogits } from './head';
import {
  type LayerActivations,
  type LayerLoras,
  type LayerWeights,
  type LlamaShape,
  layerBackward,
  layerForward,
  PROJECTIONS,
  type Projection,
} from './layer';
import { orpo } from './orpo';
import { rmsNorm, rmsNormBackward } from './rmsnorm';

export interface LlamaModel {
  shape: LlamaShape;
  /** [headDim / 2] */
  invFreq: Float64Array;
  /** [vocab, hidden] */
  embed: Float64Array;
  layers: LayerWeights[];
  /** [hidden] */
  norm: Float64Array;
  /** [vocab, hidden]; the very same array as `embed` when tied. */
  lmHead: Float64Array;
}

/** The LoRAs of every layer. */
export type Adapter = LayerLoras[];

type Sequence = { tokens: number[]; layout: PackedLayout; positions: ArrayLike<number> };

/** Key of an adapter tensor in a PEFT file. */
export function peftKey(layer: number, name: Projection, tensor: 'a' | 'b' | 'magnitude'): string {
  const block = name.endsWith('o_proj') || /^[qkv]_/.test(name) ? 'self_attn' : 'mlp';
  const suffix = { a: 'lora_A.weight', b: 'lora_B.weight', magnitude: 'lora_magnitude_vector' }[tensor];
  return `base_model.model.model.layers.${layer}.${block}.${name}.${suffix}`;
}

/** The adapter's own tensors (not copies) by PEFT key: what an optimizer updates in place. */
export function adapterTensors(adapter: Adapter): Map<string, Float64Array> {
  const tensors = new Map<string, Float64Array>();
  adapter.forEach((loras, layer) => {
    for (const name of PROJECTIONS) {
      const lora = loras[name];
      if (!lora) continue;
      tensors.set(peftKey(layer, name, 'a'), lora.a);
      tensors.set(peftKey(layer, name, 'b'), lora.b);
      if (lora.magnitude) tensors.set(peftKey(layer, name, 'magnitude'), lora.magnitude);
    }
  });
  return tensors;
}

function embedTokens(model: LlamaModel, tokens: number[]): Float64Array {
  const { hidden } = model.shape;
  const h = new Float64Array(tokens.length * hidden);
  tokens.forEach((id, t) => {
    h.set(model.embed.subarray(id * hidden, (id + 1) * hidden), t * hidden);
  });
  return h;
}

/** Every layer's input (the last one is the input of the final norm), its activations, and the normed final states. */
export function modelForward(model: LlamaModel, adapter: Adapter, seq: Sequence) {
  const { shape } = model;
  const info = { ...seq, tokens: seq.tokens.length, invFreq: model.invFreq };
  const inputs = [embedTokens(model, seq.tokens)];
  const saved: LayerActivations[] = [];
  model.layers.forEach((weights, i) => {
    const activations = layerForward(inputs[i], weights, adapter[i] ?? {}, shape, info);
    saved.push(activations);
    inputs.push(activations.out);
  });
  const states = rmsNorm(inputs[shape.layers], model.norm, info.tokens, shape.hidden, shape.rmsEps);
  return { inputs, saved, states };
}

/** Logits [tokens, vocab] of one plain sequence. */
export function sequenceLogits(model: LlamaModel, adapter: Adapter, tokens: number[]): Float64Array {
  const { hidden, vocab } = model.shape;
  const layout = { runs: [{ start: 0, end: tokens.length, prefixStart: 0, prefixEnd: 0 }] };
  const { states } = modelForward(model, adapter, { tokens, layout, positions: tokens.map((_, t) => t) });
  const logits = new Float64Array(tokens.length * vocab);
  const dims = { tokens: tokens.length, hidden, vocab };
  for (let t = 0; t < tokens.length; t++) logits.set(rowLogits(states, model.lmHead, t, dims), t * vocab);
  return logits;
}

export interface LossOptions {
  beta: number;
  /** Micro-batches in the accumulation group; by default those in the batch. */
  groupSize?: number;
}

/** The loss and its metrics without gradients. */
export function batchLoss(model: LlamaModel, adapter: Adapter, batch: PackedBatch, options: LossOptions) {
  const forward = modelForward(model, adapter, batch);
  const dims = { tokens: batch.tokens.length, ...model.shape };
  const { logps, lse } = headForward(forward.states, model.lmHead, batch.entries, dims);
  const groupSize = options.groupSize ?? new Set(batch.microOfPair).size;
  const result = orpo(batch.entries, logps, { beta: options.beta, microOfPair: batch.microOfPair, groupSize });
  return { ...result, forward, logps, lse };
}

/** Loss, metrics, entry weights, and the gradient of every adapter tensor by PEFT key. */
export function lossAndGradients(model: LlamaModel, adapter: Adapter, batch: PackedBatch, options: LossOptions) {
  const { shape } = model;
  const result = batchLoss(model, adapter, batch, options);
  const { inputs, saved, states } = result.forward;
  const info = { ...batch, tokens: batch.tokens.length, invFreq: model.invFreq };
  const dims = { ...shape, tokens: info.tokens };

  const dStates = headBackward(states, model.lmHead, batch.entries, result.weights, dims);
  let dh = rmsNormBackward(dStates, inputs[shape.layers], model.norm, info.tokens, shape.hidden, shape.rmsEps);
  const grads = new Map<string, Float64Array>();
  for (let i = shape.layers - 1; i >= 0; i--) {
    const back = layerBackward(dh, inputs[i], saved[i], model.layers[i], adapter[i] ?? {}, shape, info);
    dh = back.dh;
    for (const name of PROJECTIONS) {
      const g = back.grads[name];
      if (!g) continue;
      grads.set(peftKey(i, name, 'a'), g.da);
      grads.set(peftKey(i, name, 'b'), g.db);
      if (g.dMagnitude) grads.set(peftKey(i, name, 'magnitude'), g.dMagnitude);
    }
  }
  return { ...result, grads, dEmbedding: dh };
}
