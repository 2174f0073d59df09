/** Counts of values in equal steps that meet at zero, so that no bar holds both signs. */
export interface Histogram {
  /** Edges, one more than there are counts; 0 is among them when it lies inside. */
  edges: number[];
  counts: number[];
}

/** @param bars about how many */
export function histogram(values: readonly number[], bars = 24): Histogram {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return { edges: [], counts: [] };
  let low = 0;
  let high = 0;
  for (const value of finite) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const width = (high - low) / bars || 1e-3;
  const first = Math.floor(low / width + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / width - 1e-9));
  const counts = new Array<number>(last - first).fill(0);
  for (const value of finite) {
    const at = Math.floor(value / width) - first;
    counts[Math.min(counts.length - 1, Math.max(0, at))]++;
  }
  return { edges: Array.from({ length: last - first + 1 }, (_, i) => (first + i) * width), counts };
}
