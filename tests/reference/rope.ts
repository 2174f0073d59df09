/** Rotary position embedding in the rotate-half layout of Hugging Face checkpoints. */

export type RopeScaling =
  | { type: 'linear'; factor: number }
  | { type: 'llama3'; factor: number; lowFreqFactor: number; highFreqFactor: number; originalMaxPosition: number };

const f32 = Math.fround;

/** inv_freq [headDim / 2]; every operation is rounded to float32, because torch computes it in float32. */
export function ropeInvFreq(headDim: number, theta: number, scaling?: RopeScaling): Float64Array {
  const inv = new Float64Array(headDim / 2);
  for (let d = 0; d < inv.length; d++) {
    const plain = f32(1 / f32(f32(theta) ** f32((2 * d) / headDim)));
    inv[d] = scaling ? scaleInvFreq(plain, scaling) : plain;
  }
  return inv;
}

function scaleInvFreq(inv: number, s: RopeScaling): number {
  if (s.type === 'linear') return f32(inv / s.factor);
  const wavelength = f32((2 * Math.PI) / inv);
  if (wavelength < s.originalMaxPosition / s.highFreqFactor) return inv;
  if (wavelength > s.originalMaxPosition / s.lowFreqFactor) return f32(inv / s.factor);
  const smooth = f32(
    f32(f32(s.originalMaxPosition / wavelength) - s.lowFreqFactor) / (s.highFreqFactor - s.lowFreqFactor),
  );
  return f32(f32(f32(f32(1 - smooth) * inv) / s.factor) + f32(smooth * inv));
}

/**
 * Rotates every head of x [tokens, heads * headDim] by its token's angle. The angle is a float32 product as in torch;
 * cos and sin of it are float64. `direction` 1 is the forward, -1 the backward (the transpose of a rotation).
 */
function rotate(x: Float64Array, positions: ArrayLike<number>, inv: Float64Array, heads: number, direction: 1 | -1) {
  const half = inv.length;
  const y = new Float64Array(x.length);
  for (let t = 0; t < positions.length; t++) {
    for (let d = 0; d < half; d++) {
      const angle = f32(positions[t] * inv[d]);
      const cos = Math.cos(angle);
      const sin = direction * Math.sin(angle);
      for (let h = 0; h < heads; h++) {
        const lo = (t * heads + h) * 2 * half + d;
        const hi = lo + half;
        y[lo] = x[lo] * cos - x[hi] * sin;
        y[hi] = x[hi] * cos + x[lo] * sin;
      }
    }
  }
  return y;
}

export const rope = (x: Float64Array, positions: ArrayLike<number>, inv: Float64Array, heads: number) =>
  rotate(x, positions, inv, heads, 1);

export const ropeBackward = (dy: Float64Array, positions: ArrayLike<number>, inv: Float64Array, heads: number) =>
  rotate(dy, positions, inv, heads, -1);
