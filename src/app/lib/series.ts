/**
 * From metric arrays to what a chart draws: smoothing, bucketing to few points, and axes. All pure.
 */

/**
 * Exponential moving average with the start-up bias taken out (as TensorBoard does), so that the first values are
 * not pulled to zero. NaN and infinities are stepped over.
 */
export class Smoother {
  readonly weight: number;
  #average = 0;
  #mass = 0;

  constructor(weight: number) {
    this.weight = weight;
  }

  /** Takes in one value; answers the average so far. */
  next(value: number): number {
    if (Number.isFinite(value)) {
      this.#average = this.#average * this.weight + value * (1 - this.weight);
      this.#mass = this.#mass * this.weight + (1 - this.weight);
    }
    return this.#mass > 0 ? this.#average / this.#mass : Number.NaN;
  }
}

/** One drawn point: the step, and per series its raw value (`raw0`…) and smoothed value (`line0`…). */
export type ChartRow = { step: number } & { [key: `raw${number}` | `line${number}`]: number | null };

const orNull = (value: number): number | null => (Number.isFinite(value) ? value : null);

/**
 * At most `maxRows` rows. When there are more steps, each bucket of steps becomes two rows that carry the bucket's
 * lowest and highest raw value in the order they came, so that spikes stay visible, and the smoothed value at the end
 * of each half.
 */
export function chartRows(
  steps: ArrayLike<number>,
  raw: readonly ArrayLike<number>[],
  lines: readonly ArrayLike<number>[],
  maxRows: number,
): ChartRow[] {
  const n = steps.length;
  const rows: ChartRow[] = [];
  if (n <= maxRows) {
    for (let i = 0; i < n; i++) {
      const row: ChartRow = { step: steps[i] };
      for (let s = 0; s < raw.length; s++) {
        row[`raw${s}`] = orNull(raw[s][i]);
        row[`line${s}`] = orNull(lines[s][i]);
      }
      rows.push(row);
    }
    return rows;
  }
  const buckets = Math.floor(maxRows / 2);
  for (let b = 0; b < buckets; b++) {
    const from = Math.floor((b * n) / buckets);
    const to = Math.floor(((b + 1) * n) / buckets);
    const middle = Math.max(from, ((from + to) >> 1) - 1);
    const first: ChartRow = { step: steps[middle] };
    const second: ChartRow = { step: steps[to - 1] };
    for (let s = 0; s < raw.length; s++) {
      let low = from;
      let high = from;
      for (let i = from + 1; i < to; i++) {
        if (raw[s][i] < raw[s][low]) low = i;
        if (raw[s][i] > raw[s][high]) high = i;
      }
      first[`raw${s}`] = orNull(raw[s][Math.min(low, high)]);
      second[`raw${s}`] = orNull(raw[s][Math.max(low, high)]);
      first[`line${s}`] = orNull(lines[s][middle]);
      second[`line${s}`] = orNull(lines[s][to - 1]);
    }
    rows.push(first, second);
  }
  return rows;
}

/** At most `most` of them, evenly spread, with the first and the last. */
export function thinned<T>(rows: readonly T[], most: number): readonly T[] {
  if (rows.length <= most) return rows;
  return Array.from({ length: most }, (_, i) => rows[Math.round((i * (rows.length - 1)) / (most - 1))]);
}

const MAX_SAMPLE = 1000;

/** At most `most` of the finite values, evenly spread. */
function sample(values: readonly number[], most: number): Float64Array {
  const stride = Math.max(1, Math.ceil(values.length / most));
  const out: number[] = [];
  for (let i = 0; i < values.length; i += stride) if (Number.isFinite(values[i])) out.push(values[i]);
  return Float64Array.from(out);
}

/**
 * Lowest and highest value to show. Everything in `whole` is inside; of the noisy `raw` values the outermost 2 % on
 * each side may lie outside, so that one spike does not flatten the curve. Null when there is nothing to show.
 */
export function domainOf(
  raw: readonly (readonly number[])[],
  whole: readonly (readonly number[])[],
): [number, number] | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const values of whole) {
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  for (const values of raw) {
    const sorted = sample(values, MAX_SAMPLE).sort();
    if (sorted.length === 0) continue;
    const skip = sorted.length < 20 ? 0 : Math.floor(sorted.length * 0.02);
    low = Math.min(low, sorted[skip]);
    high = Math.max(high, sorted[sorted.length - 1 - skip]);
  }
  if (low > high) return null;
  if (low === high) {
    const pad = Math.abs(low) * 0.1 || 0.5;
    return [low - pad, high + pad];
  }
  const pad = (high - low) * 0.04;
  return [low - pad, high + pad];
}

/** About `count` round numbers inside [low, high]. */
export function niceTicks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0) || !Number.isFinite(rough)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const ratio = rough / power;
  const stepSize = (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10) * power;
  const ticks: number[] = [];
  for (let k = Math.ceil(low / stepSize - 1e-9); k * stepSize <= high + stepSize * 1e-9; k++) {
    ticks.push(Number((k * stepSize).toPrecision(12)));
  }
  return ticks;
}

/** Writes the numbers of one axis with as many decimals as their distance needs. */
export function axisFormat(ticks: readonly number[]): (value: number) => string {
  const distance = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : Math.abs(ticks[0] ?? 1);
  const decimals = Math.min(6, Math.max(0, -Math.floor(Math.log10(distance || 1) + 1e-9)));
  return (value) => value.toFixed(decimals).replace(/^-/, '−');
}

/** Whole-number ticks for the step axis: 1, a few round ones, and the last. */
export function stepTicks(last: number, count: number): number[] {
  if (last <= 1) return [1];
  const inner = niceTicks(1, last, count).filter((tick) => Number.isInteger(tick) && tick > 1 && tick < last);
  const gap = (last - 1) / (count * 2);
  return [1, ...inner.filter((tick) => tick - 1 > gap && last - tick > gap), last];
}

/** Mean of the finite values; NaN when there are none. */
export function mean(values: readonly number[]): number {
  let sum = 0;
  let count = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    sum += value;
    count++;
  }
  return count ? sum / count : Number.NaN;
}

/** Mean over the first and over the last few values: what a number was at the start of a run, and is now. */
export function startAndNow(values: readonly number[], most = 10): { start: number; now: number; window: number } {
  const window = windowOf(values.length, most);
  return { start: mean(values.slice(0, window)), now: mean(values.slice(-window)), window };
}

/** How many steps at each end are averaged: ten, or half of a shorter run. */
export const windowOf = (length: number, most = 10): number => Math.max(1, Math.min(most, Math.floor(length / 2)));
