/** What a difference between two sides over the same items is worth. */
import { MersenneTwister } from '../data/random';

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Standard error of the mean, from the sample's standard deviation (n - 1), as lm-evaluation-harness'; 0 for one value. */
export function standardError(values: readonly number[]): number {
  const n = values.length;
  if (n < 2) return 0;
  const m = mean(values);
  return Math.sqrt(values.reduce((sum, v) => sum + (v - m) ** 2, 0) / (n - 1) / n);
}

export const RESAMPLES = 2000;

/**
 * Percentile interval of the mean of paired differences: whole items are drawn again, with replacement, as many as there
 * are. The same seed gives the same interval.
 */
export function bootstrapInterval(
  differences: readonly number[],
  { level = 0.95, resamples = RESAMPLES, seed = 42 } = {},
): [number, number] {
  const n = differences.length;
  const random = new MersenneTwister(seed);
  const means = new Float64Array(resamples);
  for (let r = 0; r < resamples; r++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += differences[Math.floor((random.nextU32() / 2 ** 32) * n)];
    means[r] = sum / n;
  }
  means.sort();
  const tail = (1 - level) / 2;
  return [means[Math.floor(tail * resamples)], means[Math.ceil((1 - tail) * resamples) - 1]];
}

/**
 * Exact two-sided McNemar test: under no difference each of the items that flipped was as likely to flip either way, so
 * the smaller count is binomial(b + c, 1/2). McNemar (1947); the exact form e.g. in Fagerland et al. (2013).
 * @param b items right before and wrong after
 * @param c items wrong before and right after
 */
export function mcnemarExact(b: number, c: number): number {
  const n = b + c;
  if (n === 0) return 1;
  // Terms C(n, k) / 2^n by their logarithms, since 2^n leaves the range of a double.
  let log = -n * Math.LN2;
  let tail = 0;
  for (let k = 0; k <= Math.min(b, c); k++) {
    if (k > 0) log += Math.log(n - k + 1) - Math.log(k);
    tail += Math.exp(log);
  }
  return Math.min(1, 2 * tail);
}

/** Flips below which the exact test cannot reach 5 %, even when all go the same way: 2 / 2^5 > 0.05. */
export const FEWEST_FLIPS = 6;
/** Items below which one alone moves the result by more than two points. */
const FEW_ITEMS = 50;

/** Why a comparison may say nothing; empty when it can be read as it is. */
export function cautions(items: number, flips: number | null, interval: readonly [number, number]): string[] {
  const out: string[] = [];
  if (items < FEW_ITEMS) {
    out.push(
      `Only ${items} items: one of them is worth ${(100 / items).toFixed(1)} points. Use at least ${FEW_ITEMS}.`,
    );
  }
  if (flips !== null && flips < FEWEST_FLIPS) {
    const flipped = flips === 0 ? 'No item' : flips === 1 ? 'Only 1 item' : `Only ${flips} items`;
    out.push(`${flipped} flipped; fewer than ${FEWEST_FLIPS} cannot show a difference at the 5 % level.`);
  } else if (interval[0] <= 0 && interval[1] >= 0) {
    const reach = Math.max(-interval[0], interval[1]);
    out.push(
      `The interval holds 0: ${items} items cannot tell this difference from chance (± ${(100 * reach).toFixed(1)} points).`,
    );
  }
  return out;
}
