/** Linear layers without bias, in the layout of torch: x is [tokens, inFeatures], w is [outFeatures, inFeatures]. */
export interface LinearDims {
  tokens: number;
  inFeatures: number;
  outFeatures: number;
}

/** Y = X·Wᵀ, [tokens, outFeatures]. */
export function linear(x: Float64Array, w: Float64Array, { tokens, inFeatures: n, outFeatures: m }: LinearDims) {
  const y = new Float64Array(tokens * m);
  let o = 0;
  // Four outputs at a time: each x value is loaded once for four products, and rows of w stay in the cache for all tokens.
  for (; o + 4 <= m; o += 4) {
    const w0 = o * n;
    const w1 = w0 + n;
    const w2 = w1 + n;
    const w3 = w2 + n;
    for (let t = 0; t < tokens; t++) {
      const xr = t * n;
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      let s3 = 0;
      for (let i = 0; i < n; i++) {
        const xi = x[xr + i];
        s0 += xi * w[w0 + i];
        s1 += xi * w[w1 + i];
        s2 += xi * w[w2 + i];
        s3 += xi * w[w3 + i];
      }
      const yr = t * m + o;
      y[yr] = s0;
      y[yr + 1] = s1;
      y[yr + 2] = s2;
      y[yr + 3] = s3;
    }
  }
  for (; o < m; o++) {
    for (let t = 0; t < tokens; t++) {
      let s = 0;
      for (let i = 0; i < n; i++) s += x[t * n + i] * w[o * n + i];
      y[t * m + o] = s;
    }
  }
  return y;
}

/** dX = dY·W, [tokens, inFeatures]. */
export function linearBackwardInput(
  dy: Float64Array,
  w: Float64Array,
  { tokens, inFeatures: n, outFeatures: m }: LinearDims,
) {
  const dx = new Float64Array(tokens * n);
  let o = 0;
  for (; o + 4 <= m; o += 4) {
    const w0 = o * n;
    const w1 = w0 + n;
    const w2 = w1 + n;
    const w3 = w2 + n;
    for (let t = 0; t < tokens; t++) {
      const xr = t * n;
      const yr = t * m + o;
      const g0 = dy[yr];
      const g1 = dy[yr + 1];
      const g2 = dy[yr + 2];
      const g3 = dy[yr + 3];
      for (let i = 0; i < n; i++) dx[xr + i] += g0 * w[w0 + i] + g1 * w[w1 + i] + g2 * w[w2 + i] + g3 * w[w3 + i];
    }
  }
  for (; o < m; o++) {
    for (let t = 0; t < tokens; t++) {
      const g = dy[t * m + o];
      for (let i = 0; i < n; i++) dx[t * n + i] += g * w[o * n + i];
    }
  }
  return dx;
}

/** dW = dYᵀ·X, [outFeatures, inFeatures]. */
export function linearBackwardWeight(
  dy: Float64Array,
  x: Float64Array,
  { tokens, inFeatures: n, outFeatures: m }: LinearDims,
) {
  const dw = new Float64Array(m * n);
  for (let o = 0; o < m; o++) {
    for (let t = 0; t < tokens; t++) {
      const g = dy[t * m + o];
      for (let i = 0; i < n; i++) dw[o * n + i] += g * x[t * n + i];
    }
  }
  return dw;
}
