/** One Llama layer, forward and backward: h += o(attention(norm(h))); h += down(silu(gate) ∘ up), LoRA on any linear. */
import { attention, attentionBackward, type PackedLayout } from './attention';
import { type LinearDims, linear, linearBackwardInput } from './linear';
import { doraBackward, doraForward, doraNorm, type Lora, type LoraGradients, loraBackward, loraForward } from './lora';
import { rmsNorm, rmsNormBackward } from './rmsnorm';
import { rope, ropeBackward } from './rope';
import { swiglu, swigluBackward } from './swiglu';

export const PROJECTIONS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;
export type Projection = (typeof PROJECTIONS)[number];

export interface LlamaShape {
  hidden: number;
  intermediate: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocab: number;
  rmsEps: number;
}

export type LayerWeights = Record<Projection, Float64Array> & {
  input_layernorm: Float64Array;
  post_attention_layernorm: Float64Array;
};

export type LayerLoras = Partial<Record<Projection, Lora>>;
export type LayerGradients = Partial<Record<Projection, Omit<LoraGradients, 'dx'>>>;

export interface SequenceInfo {
  tokens: number;
  layout: PackedLayout;
  positions: ArrayLike<number>;
  invFreq: Float64Array;
}

/** [outFeatures, inFeatures] of a projection. */
export function projectionShape(shape: LlamaShape, name: Projection): [number, number] {
  const q = shape.heads * shape.headDim;
  const kv = shape.kvHeads * shape.headDim;
  switch (name) {
    case 'q_proj':
      return [q, shape.hidden];
    case 'k_proj':
    case 'v_proj':
      return [kv, shape.hidden];
    case 'o_proj':
      return [shape.hidden, q];
    case 'gate_proj':
    case 'up_proj':
      return [shape.intermediate, shape.hidden];
    case 'down_proj':
      return [shape.hidden, shape.intermediate];
  }
}

function dimsOf(shape: LlamaShape, name: Projection, tokens: number): LinearDims {
  const [outFeatures, inFeatures] = projectionShape(shape, name);
  return { tokens, inFeatures, outFeatures };
}

function project(x: Float64Array, w: Float64Array, lora: Lora | undefined, dims: LinearDims): Float64Array {
  if (!lora) return linear(x, w, dims);
  return lora.magnitude ? doraForward(x, w, lora, doraNorm(w, lora, dims), dims) : loraForward(x, w, lora, dims);
}

function projectBackward(dy: Float64Array, x: Float64Array, w: Float64Array, lora: Lora | undefined, dims: LinearDims) {
  if (!lora) return { dx: linearBackwardInput(dy, w, dims) };
  if (lora.magnitude) return doraBackward(dy, x, w, lora, doraNorm(w, lora, dims), dims);
  return loraBackward(dy, x, w, lora, dims);
}

const add = (a: Float64Array, b: Float64Array) => a.map((value, i) => value + b[i]);

/** All intermediate results of a layer, for its backward and for checking a kernel in the middle of it. */
export function layerForward(
  h: Float64Array,
  w: LayerWeights,
  loras: LayerLoras,
  shape: LlamaShape,
  seq: SequenceInfo,
) {
  const { tokens, layout, positions, invFreq } = seq;
  const apply = (name: Projection, x: Float64Array) => project(x, w[name], loras[name], dimsOf(shape, name, tokens));

  const attnIn = rmsNorm(h, w.input_layernorm, tokens, shape.hidden, shape.rmsEps);
  const q = rope(apply('q_proj', attnIn), positions, invFreq, shape.heads);
  const k = rope(apply('k_proj', attnIn), positions, invFreq, shape.kvHeads);
  const v = apply('v_proj', attnIn);
  const attn = attention(q, k, v, layout, { tokens, ...shape });
  const mid = add(h, apply('o_proj', attn.o));

  const mlpIn = rmsNorm(mid, w.post_attention_layernorm, tokens, shape.hidden, shape.rmsEps);
  const gate = apply('gate_proj', mlpIn);
  const up = apply('up_proj', mlpIn);
  const act = swiglu(gate, up);
  const out = add(mid, apply('down_proj', act));
  return { attnIn, q, k, v, attn, mid, mlpIn, gate, up, act, out };
}

export type LayerActivations = ReturnType<typeof layerForward>;

/** From dOut [tokens, hidden]: dh [tokens, hidden] and the gradients of every LoRA of the layer. */
export function layerBackward(
  dOut: Float64Array,
  h: Float64Array,
  saved: LayerActivations,
  w: LayerWeights,
  loras: LayerLoras,
  shape: LlamaShape,
  seq: SequenceInfo,
) {
  const { tokens, layout, positions, invFreq } = seq;
  const grads: LayerGradients = {};
  const back = (name: Projection, dy: Float64Array, x: Float64Array): Float64Array => {
    const { dx, ...rest } = projectBackward(dy, x, w[name], loras[name], dimsOf(shape, name, tokens));
    if ('da' in rest) grads[name] = rest;
    return dx;
  };

  const dAct = back('down_proj', dOut, saved.act);
  const { dGate, dUp } = swigluBackward(dAct, saved.gate, saved.up);
  const dMlpIn = add(back('gate_proj', dGate, saved.mlpIn), back('up_proj', dUp, saved.mlpIn));
  const dMidNorm = rmsNormBackward(dMlpIn, saved.mid, w.post_attention_layernorm, tokens, shape.hidden, shape.rmsEps);
  const dMid = add(dOut, dMidNorm);

  const dO = back('o_proj', dMid, saved.attn.o);
  const { dq, dk, dv } = attentionBackward(dO, saved.q, saved.k, saved.v, saved.attn, layout, { tokens, ...shape });
  const dAttnIn = add(
    add(
      back('q_proj', ropeBackward(dq, positions, invFreq, shape.heads), saved.attnIn),
      back('k_proj', ropeBackward(dk, positions, invFreq, shape.kvHeads), saved.attnIn),
    ),
    back('v_proj', dv, saved.attnIn),
  );
  const dNorm = rmsNormBackward(dAttnIn, h, w.input_layernorm, tokens, shape.hidden, shape.rmsEps);
  return { dh: add(dMid, dNorm), grads };
}
