/**
 * Causal grouped-query attention over a packed row of tokens. Tokens lie in runs; a query attends the whole prefix
 * range of its run and, causally, the run itself. A pair is three runs: its common prefix (with an empty prefix range),
 * then the rest of chosen and the rest of rejected, both of which name the first run as their prefix.
 */

/** Tokens [start, end) of one run, and the tokens [prefixStart, prefixEnd) that all of them may attend. */
export interface Run {
  start: number;
  end: number;
  prefixStart: number;
  prefixEnd: number;
}

export interface PackedLayout {
  runs: Run[];
}

export interface AttentionDims {
  tokens: number;
  heads: number;
  kvHeads: number;
  headDim: number;
}

/** Position of every token: a run continues its prefix. */
export function positionsOf(layout: PackedLayout, tokens: number): Int32Array {
  const positions = new Int32Array(tokens);
  for (const run of layout.runs) {
    const offset = run.prefixEnd - run.prefixStart - run.start;
    for (let t = run.start; t < run.end; t++) positions[t] = t + offset;
  }
  return positions;
}

/** Keys of a run's last query in order, prefix first. An earlier query attends as many fewer, counted from the end. */
function keysOfRun(run: Run): Int32Array {
  const prefix = run.prefixEnd - run.prefixStart;
  return Int32Array.from({ length: prefix + run.end - run.start }, (_, i) =>
    i < prefix ? run.prefixStart + i : run.start + i - prefix,
  );
}

/**
 * softmax(q kᵀ / sqrt(headDim)) v. q is [tokens, heads * headDim]; k and v are [tokens, kvHeads * headDim].
 * Returns o [tokens, heads * headDim] and lse [tokens, heads], the log of the sum of exponentials of the scaled scores.
 */
export function attention(
  q: Float64Array,
  k: Float64Array,
  v: Float64Array,
  layout: PackedLayout,
  { tokens, heads, kvHeads, headDim }: AttentionDims,
) {
  const o = new Float64Array(tokens * heads * headDim);
  const lse = new Float64Array(tokens * heads);
  const scores = new Float64Array(tokens);
  const scale = 1 / Math.sqrt(headDim);
  const group = heads / kvHeads;
  for (const run of layout.runs) {
    const keys = keysOfRun(run);
    for (let t = run.start; t < run.end; t++) {
      const count = keys.length - (run.end - 1 - t);
      for (let h = 0; h < heads; h++) {
        const qAt = (t * heads + h) * headDim;
        const kvHead = Math.floor(h / group);
        let max = Number.NEGATIVE_INFINITY;
        for (let j = 0; j < count; j++) {
          const kAt = (keys[j] * kvHeads + kvHead) * headDim;
          let s = 0;
          for (let d = 0; d < headDim; d++) s += q[qAt + d] * k[kAt + d];
          s *= scale;
          scores[j] = s;
          if (s > max) max = s;
        }
        let sum = 0;
        for (let j = 0; j < count; j++) {
          const p = Math.exp(scores[j] - max);
          sum += p;
          const vAt = (keys[j] * kvHeads + kvHead) * headDim;
          for (let d = 0; d < headDim; d++) o[qAt + d] += p * v[vAt + d];
        }
        for (let d = 0; d < headDim; d++) o[qAt + d] /= sum;
        lse[t * heads + h] = max + Math.log(sum);
      }
    }
  }
  return { o, lse };
}

/**
 * With P = exp(score - lse) and delta = Σ_d dO ∘ O per query and head:
 * dS = P (dO·v - delta), dq = scale Σ dS k, dk = scale Σ dS q, dv = Σ P dO. dk and dv sum over the heads of a group.
 */
export function attentionBackward(
  dO: Float64Array,
  q: Float64Array,
  k: Float64Array,
  v: Float64Array,
  { o, lse }: { o: Float64Array; lse: Float64Array },
  layout: PackedLayout,
  { heads, kvHeads, headDim }: AttentionDims,
) {
  const dq = new Float64Array(q.length);
  const dk = new Float64Array(k.length);
  const dv = new Float64Array(v.length);
  const scale = 1 / Math.sqrt(headDim);
  const group = heads / kvHeads;
  for (const run of layout.runs) {
    const keys = keysOfRun(run);
    for (let t = run.start; t < run.end; t++) {
      const count = keys.length - (run.end - 1 - t);
      for (let h = 0; h < heads; h++) {
        const qAt = (t * heads + h) * headDim;
        const kvHead = Math.floor(h / group);
        let delta = 0;
        for (let d = 0; d < headDim; d++) delta += dO[qAt + d] * o[qAt + d];
        for (let j = 0; j < count; j++) {
          const kvAt = (keys[j] * kvHeads + kvHead) * headDim;
          let s = 0;
          let dp = 0;
          for (let d = 0; d < headDim; d++) {
            s += q[qAt + d] * k[kvAt + d];
            dp += dO[qAt + d] * v[kvAt + d];
          }
          const p = Math.exp(s * scale - lse[t * heads + h]);
          const ds = p * (dp - delta) * scale;
          for (let d = 0; d < headDim; d++) {
            dq[qAt + d] += ds * k[kvAt + d];
            dk[kvAt + d] += ds * q[qAt + d];
            dv[kvAt + d] += p * dO[qAt + d];
          }
        }
      }
    }
  }
  return { dq, dk, dv };
}
