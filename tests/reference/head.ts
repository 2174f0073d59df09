/**
 * lm_head and log-softmax on the rows that carry a loss entry. A row is one token's final hidden state; it may carry
 * several entries (at the branch point of a pair chosen and rejected part ways). Rows without an entry are not touched.
 */
export interface HeadDims {
  tokens: number;
  hidden: number;
  vocab: number;
}

/** Row of hidden states and the token it should predict. */
export interface Target {
  row: number;
  target: number;
}

/** Logits of one row, [vocab]: h · Wᵀ. */
export function rowLogits(h: Float64Array, w: Float64Array, row: number, { hidden, vocab }: HeadDims): Float64Array {
  const logits = new Float64Array(vocab);
  for (let v = 0; v < vocab; v++) {
    let s = 0;
    for (let i = 0; i < hidden; i++) s += h[row * hidden + i] * w[v * hidden + i];
    logits[v] = s;
  }
  return logits;
}

export function logSumExp(values: Float64Array): number {
  let max = Number.NEGATIVE_INFINITY;
  for (const value of values) if (value > max) max = value;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - max);
  return max + Math.log(sum);
}

/** Indices of the entries of every row that has any. */
function entriesByRow(entries: readonly Target[]): Map<number, number[]> {
  const byRow = new Map<number, number[]>();
  entries.forEach((entry, index) => {
    const list = byRow.get(entry.row);
    if (list) list.push(index);
    else byRow.set(entry.row, [index]);
  });
  return byRow;
}

/**
 * h [tokens, hidden], w [vocab, hidden]. Returns logps [entries] (log-probability of every entry's target) and
 * lse [tokens] (log-sum-exp of the logits; NaN for rows without an entry).
 */
export function headForward(h: Float64Array, w: Float64Array, entries: readonly Target[], dims: HeadDims) {
  const lse = new Float64Array(dims.tokens).fill(Number.NaN);
  const logps = new Float64Array(entries.length);
  for (const [row, indices] of entriesByRow(entries)) {
    const logits = rowLogits(h, w, row, dims);
    lse[row] = logSumExp(logits);
    for (const i of indices) logps[i] = logits[entries[i].target] - lse[row];
  }
  return { logps, lse };
}

/**
 * dH [tokens, hidden] for dlogits = Σ_entries weight · (softmax - onehot(target)). `weights` [entries] is
 * -dLoss/dlogp of every entry. The head is frozen, so there is no dW.
 */
export function headBackward(
  h: Float64Array,
  w: Float64Array,
  entries: readonly Target[],
  weights: Float64Array,
  dims: HeadDims,
): Float64Array {
  const { hidden, vocab, tokens } = dims;
  const dh = new Float64Array(tokens * hidden);
  for (const [row, indices] of entriesByRow(entries)) {
    const dlogits = rowLogits(h, w, row, dims);
    const lse = logSumExp(dlogits);
    let total = 0;
    for (const i of indices) total += weights[i];
    for (let v = 0; v < vocab; v++) dlogits[v] = total * Math.exp(dlogits[v] - lse);
    for (const i of indices) dlogits[entries[i].target] -= weights[i];
    for (let v = 0; v < vocab; v++) {
      const g = dlogits[v];
      for (let i = 0; i < hidden; i++) dh[row * hidden + i] += g * w[v * hidden + i];
    }
  }
  return dh;
}
