/** RMSNorm over rows of [tokens, hidden]: y = weight ∘ x · rsqrt(mean(x²) + eps). */

/** 1 / rms of every row, [tokens]. */
export function rowRstd(x: Float64Array, tokens: number, hidden: number, eps: number): Float64Array {
  const rstd = new Float64Array(tokens);
  for (let t = 0; t < tokens; t++) {
    let sum = 0;
    for (let i = 0; i < hidden; i++) sum += x[t * hidden + i] ** 2;
    rstd[t] = 1 / Math.sqrt(sum / hidden + eps);
  }
  return rstd;
}

/** y [tokens, hidden]. */
export function rmsNorm(x: Float64Array, weight: Float64Array, tokens: number, hidden: number, eps: number) {
  const rstd = rowRstd(x, tokens, hidden, eps);
  const y = new Float64Array(x.length);
  for (let t = 0; t < tokens; t++) {
    for (let i = 0; i < hidden; i++) y[t * hidden + i] = weight[i] * x[t * hidden + i] * rstd[t];
  }
  return y;
}

/** dx = r (gw - n · mean(gw ∘ n)) with n = x r, gw = dy ∘ weight. The weight is frozen. */
export function rmsNormBackward(
  dy: Float64Array,
  x: Float64Array,
  weight: Float64Array,
  tokens: number,
  hidden: number,
  eps: number,
) {
  const rstd = rowRstd(x, tokens, hidden, eps);
  const dx = new Float64Array(x.length);
  for (let t = 0; t < tokens; t++) {
    const r = rstd[t];
    let dot = 0;
    for (let i = 0; i < hidden; i++) dot += dy[t * hidden + i] * weight[i] * x[t * hidden + i] * r;
    const mean = dot / hidden;
    for (let i = 0; i < hidden; i++) {
      const at = t * hidden + i;
      dx[at] = r * (dy[at] * weight[i] - x[at] * r * mean);
    }
  }
  return dx;
}
