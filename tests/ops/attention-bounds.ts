/**
 * How far f32 attention may be from exact attention, element by element, to first order. With n keys, head width d and
 * scores s_j: a score errs by at most (d + 2) ε scale Σ|q||k|; WGSL's exp(x) by (3 + 2|x|) ε of its value; sums of n terms
 * by n ε of the sum of their sizes. Everything else is how those errors pass through the formulas.
 */
import { type AttentionDims, attention, type PackedLayout } from '../reference/attention';
import { EPS } from './support';

interface Bounds {
  o: Float64Array;
  lse: Float64Array;
  dq: Float64Array;
  dk: Float64Array;
  dv: Float64Array;
}

export function attentionBounds(
  q: Float64Array,
  k: Float64Array,
  v: Float64Array,
  dO: Float64Array,
  layout: PackedLayout,
  dims: AttentionDims,
): Bounds {
  const { heads, kvHeads, headDim } = dims;
  const { o, lse } = attention(q, k, v, layout, dims);
  const zero = (like: Float64Array) => new Float64Array(like.length);
  const bound = { o: zero(o), lse: zero(lse), dq: zero(q), dk: zero(k), dv: zero(v) };
  // Queries (times heads of the group) that add to a key: the length of its sums.
  const uses = new Float64Array(k.length / headDim);
  const sizes = { dk: zero(k), dv: zero(v) };
  const scale = 1 / Math.sqrt(headDim);
  for (const run of layout.runs) {
    for (let t = run.start; t < run.end; t++) {
      const keys: number[] = [];
      for (let j = run.prefixStart; j < run.prefixEnd; j++) keys.push(j);
      for (let j = run.start; j <= t; j++) keys.push(j);
      for (let h = 0; h < heads; h++) {
        const at = t * heads + h;
        const qAt = at * headDim;
        const kvAt = (j: number) => (j * kvHeads + Math.floor((h * kvHeads) / heads)) * headDim;
        const scores = keys.map((j) => scale * sum(headDim, (d) => q[qAt + d] * k[kvAt(j) + d]));
        const sizeOf = (j: number) => scale * sum(headDim, (d) => Math.abs(q[qAt + d] * k[kvAt(j) + d]));
        const scoreError = Math.max(...keys.map((j) => (headDim + 2) * EPS * sizeOf(j)));
        const range = Math.max(...scores) - Math.min(...scores);
        // exp of a score, the running rescale, and the sum of n of them.
        const weightError = 2 * scoreError + (2 * keys.length + 10 + 4 * range) * EPS;
        for (let d = 0; d < headDim; d++) {
          const size = sum(keys.length, (i) => Math.exp(scores[i] - lse[at]) * Math.abs(v[kvAt(keys[i]) + d]));
          bound.o[qAt + d] = (weightError + keys.length * EPS) * size;
        }
        bound.lse[at] = weightError + 4 * EPS * (1 + Math.abs(lse[at]));

        const probabilityError = scoreError + bound.lse[at] + (5 + 2 * range) * EPS;
        const delta = sum(headDim, (d) => Math.abs(dO[qAt + d] * o[qAt + d]));
        const deltaError = headDim * EPS * delta + sum(headDim, (d) => Math.abs(dO[qAt + d]) * bound.o[qAt + d]);
        keys.forEach((j, i) => {
          const p = Math.exp(scores[i] - lse[at]);
          const dp = sum(headDim, (d) => Math.abs(dO[qAt + d] * v[kvAt(j) + d]));
          const size = scale * p * (dp + delta);
          const error = size * (probabilityError + 4 * EPS) + scale * p * (headDim * EPS * dp + deltaError);
          uses[kvAt(j) / headDim]++;
          for (let d = 0; d < headDim; d++) {
            const kSize = Math.abs(k[kvAt(j) + d]);
            bound.dq[qAt + d] += kSize * (error + (keys.length + 1) * EPS * size);
            bound.dk[kvAt(j) + d] += Math.abs(q[qAt + d]) * error;
            sizes.dk[kvAt(j) + d] += Math.abs(q[qAt + d]) * size;
            bound.dv[kvAt(j) + d] += p * Math.abs(dO[qAt + d]) * probabilityError;
            sizes.dv[kvAt(j) + d] += p * Math.abs(dO[qAt + d]);
          }
        });
      }
    }
  }
  for (let i = 0; i < k.length; i++) {
    const roundings = (uses[Math.floor(i / headDim)] + 1) * EPS;
    bound.dk[i] += roundings * sizes.dk[i];
    bound.dv[i] += roundings * sizes.dv[i];
  }
  return bound;
}

function sum(n: number, term: (i: number) => number): number {
  let total = 0;
  for (let i = 0; i < n; i++) total += term(i);
  return total;
}
