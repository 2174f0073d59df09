/** Finite-difference checks in float64. */
import { createRng } from './rng';

/** Σ a ∘ b: a scalar loss whose cotangent is `b`. */
export const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i], 0);

/**
 * Largest difference between `gradient` and central differences of `loss` in the elements of `x` (in place, restored),
 * relative to the largest central difference. At most `samples` elements are tried, drawn with `seed`.
 */
export function gradientError(
  loss: () => number,
  x: Float64Array,
  gradient: Float64Array,
  { step = 1e-5, samples = 40, seed = 7 } = {},
): number {
  if (gradient.length !== x.length) throw new Error(`gradient has ${gradient.length} elements, x has ${x.length}`);
  const rng = createRng(seed);
  const picks =
    x.length <= samples ? x.map((_, i) => i) : Float64Array.from({ length: samples }, () => rng.int(x.length));
  let worst = 0;
  let scale = 0;
  for (const i of picks) {
    const kept = x[i];
    x[i] = kept + step;
    const up = loss();
    x[i] = kept - step;
    const down = loss();
    x[i] = kept;
    const numeric = (up - down) / (2 * step);
    worst = Math.max(worst, Math.abs(numeric - gradient[i]));
    scale = Math.max(scale, Math.abs(numeric));
  }
  // A loss that does not depend on x at all would pass any check.
  if (scale === 0) throw new Error('the loss does not depend on x');
  return worst / scale;
}
