/** Inverse frequencies and the cos/sin table of rotary position embedding (transformers' modeling_rope_utils). */
import type { RopeConfig } from './config';

/** inv_freq [headDim / 2], in float32 as torch holds it. */
export function inverseFrequencies(rope: RopeConfig, headDim: number): Float32Array {
  const half = headDim / 2;
  const out = new Float32Array(half);
  for (let d = 0; d < half; d++) {
    const inv = 1 / rope.theta ** ((2 * d) / headDim);
    out[d] = rope.type === 'linear' ? inv / rope.factor : rope.type === 'llama3' ? llama3(inv, rope) : inv;
  }
  return out;
}

/** Llama 3.1's scaling: long wavelengths are stretched by `factor`, short ones kept, those between blended. */
export function llama3(inv: number, rope: RopeConfig): number {
  const wavelength = (2 * Math.PI) / inv;
  if (wavelength < rope.originalMaxPositions / rope.highFreqFactor) return inv;
  if (wavelength > rope.originalMaxPositions / rope.lowFreqFactor) return inv / rope.factor;
  const smooth =
    (rope.originalMaxPositions / wavelength - rope.lowFreqFactor) / (rope.highFreqFactor - rope.lowFreqFactor);
  return (1 - smooth) * (inv / rope.factor) + smooth * inv;
}

/**
 * f32 [positions, headDim / 2, 2] of cos and sin. The angle is rounded to float32 before, as the reference does;
 * WGSL's own sin and cos are too coarse for large angles.
 */
export function ropeTable(rope: RopeConfig, headDim: number, positions: number): Float32Array<ArrayBuffer> {
  const inv = inverseFrequencies(rope, headDim);
  const half = inv.length;
  const table = new Float32Array(positions * half * 2);
  for (let t = 0; t < positions; t++) {
    for (let d = 0; d < half; d++) {
      const angle = Math.fround(t * inv[d]);
      table[(t * half + d) * 2] = Math.cos(angle);
      table[(t * half + d) * 2 + 1] = Math.sin(angle);
    }
  }
  return table;
}
