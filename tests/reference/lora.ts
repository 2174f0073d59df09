/**
 * LoRA and DoRA on a frozen linear layer (PEFT's maths, dropout off).
 *
 * LoRA:  y = x W0ᵀ + s (x Aᵀ) Bᵀ.
 * DoRA:  y = c ∘ (x W0ᵀ + s (x Aᵀ) Bᵀ), c = magnitude / ||W0 + s B A|| per output row; the norm is a constant in backward.
 */
import { type LinearDims, linear, linearBackwardInput, linearBackwardWeight } from './linear';

export interface Lora {
  /** [rank, inFeatures] */
  a: Float64Array;
  /** [outFeatures, rank] */
  b: Float64Array;
  rank: number;
  /** alpha / rank, or alpha / sqrt(rank) for rsLoRA. */
  scale: number;
  /** DoRA only: [outFeatures]. */
  magnitude?: Float64Array;
}

export interface LoraGradients {
  dx: Float64Array;
  da: Float64Array;
  db: Float64Array;
  dMagnitude?: Float64Array;
}

const downDims = (d: LinearDims, l: Lora): LinearDims => ({ ...d, outFeatures: l.rank });
const upDims = (d: LinearDims, l: Lora): LinearDims => ({ ...d, inFeatures: l.rank });

/** y [tokens, outFeatures]. */
export function loraForward(x: Float64Array, w0: Float64Array, lora: Lora, dims: LinearDims): Float64Array {
  const y = linear(x, w0, dims);
  const u = linear(x, lora.a, downDims(dims, lora));
  const delta = linear(u, lora.b, upDims(dims, lora));
  for (let i = 0; i < y.length; i++) y[i] += lora.scale * delta[i];
  return y;
}

/** With g = dy, u = x Aᵀ:  dB = s gᵀ u,  dA = s (g B)ᵀ x,  dx = g W0 + s (g B) A. */
export function loraBackward(dy: Float64Array, x: Float64Array, w0: Float64Array, lora: Lora, dims: LinearDims) {
  const down = downDims(dims, lora);
  const up = upDims(dims, lora);
  const u = linear(x, lora.a, down);
  const db = linearBackwardWeight(dy, u, up);
  const du = linearBackwardInput(dy, lora.b, up);
  for (let i = 0; i < db.length; i++) db[i] *= lora.scale;
  for (let i = 0; i < du.length; i++) du[i] *= lora.scale;
  const da = linearBackwardWeight(du, x, down);
  const dx = linearBackwardInput(dy, w0, dims);
  const dxLora = linearBackwardInput(du, lora.a, down);
  for (let i = 0; i < dx.length; i++) dx[i] += dxLora[i];
  return { dx, da, db } satisfies LoraGradients;
}

/** ||W0 + s B A|| per output row, [outFeatures]. */
export function doraNorm(w0: Float64Array, lora: Lora, { inFeatures, outFeatures }: LinearDims): Float64Array {
  const norm = new Float64Array(outFeatures);
  for (let o = 0; o < outFeatures; o++) {
    let sum = 0;
    for (let i = 0; i < inFeatures; i++) {
      let delta = 0;
      for (let k = 0; k < lora.rank; k++) delta += lora.b[o * lora.rank + k] * lora.a[k * inFeatures + i];
      sum += (w0[o * inFeatures + i] + lora.scale * delta) ** 2;
    }
    norm[o] = Math.sqrt(sum);
  }
  return norm;
}

/** y [tokens, outFeatures]; `norm` from doraNorm. */
export function doraForward(x: Float64Array, w0: Float64Array, lora: Lora, norm: Float64Array, dims: LinearDims) {
  const y = loraForward(x, w0, lora, dims);
  const m = dims.outFeatures;
  for (let i = 0; i < y.length; i++) y[i] *= lora.magnitude![i % m] / norm[i % m];
  return y;
}

/** LoRA's backward of c∘dy, and dMagnitude = Σ_t dy ∘ (x W0ᵀ + s (x Aᵀ) Bᵀ) / norm. */
export function doraBackward(
  dy: Float64Array,
  x: Float64Array,
  w0: Float64Array,
  lora: Lora,
  norm: Float64Array,
  dims: LinearDims,
) {
  const m = dims.outFeatures;
  const inner = loraForward(x, w0, lora, dims);
  const dMagnitude = new Float64Array(m);
  const scaled = new Float64Array(dy.length);
  for (let i = 0; i < dy.length; i++) {
    const o = i % m;
    dMagnitude[o] += (dy[i] * inner[i]) / norm[o];
    scaled[i] = (dy[i] * lora.magnitude![o]) / norm[o];
  }
  return { ...loraBackward(scaled, x, w0, lora, dims), dMagnitude } satisfies LoraGradients;
}
