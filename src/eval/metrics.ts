/** From an item's log-likelihoods to what is counted, as lm-evaluation-harness counts. */
import type { EvalItem, MetricName } from './items';
import type { Score } from './score';

export type MetricValues = Partial<Record<MetricName, number>>;

/** Index of the largest value; of equal ones the first, as numpy's argmax. */
export const argmax = (values: readonly number[]): number =>
  values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

/** The choice that each way of counting takes. `lengths`: UTF-8 bytes of the continuations. */
export function picks(scores: readonly Score[], lengths: readonly number[]): { acc: number; acc_norm: number } {
  const logprobs = scores.map(({ logprob }) => logprob);
  return { acc: argmax(logprobs), acc_norm: argmax(logprobs.map((l, i) => l / Math.max(1, lengths[i]))) };
}

/** Share of the probability of some choices that the right ones have. */
function mass(logprobs: readonly number[], all: readonly number[], right: readonly number[]): number {
  const top = Math.max(...all.map((i) => logprobs[i]));
  const sum = (places: readonly number[]) => places.reduce((total, i) => total + Math.exp(logprobs[i] - top), 0);
  return sum(right) / sum(all);
}

/**
 * acc: the right choice has the largest sum of log-probabilities; acc_norm: the largest sum divided by its bytes.
 * mc1: as acc among TruthfulQA's single-answer choices; mc2: the share of probability of the true ones.
 * acc_mean, acc_sum: the chosen answer's mean, or sum, is above the rejected one's.
 */
export function itemMetrics(item: EvalItem, scores: readonly Score[], lengths: readonly number[]): MetricValues {
  const logprobs = scores.map(({ logprob }) => logprob);
  if (item.kind === 'pair') {
    const means = logprobs.map((l, i) => l / Math.max(1, scores[i].tokens));
    return { acc_mean: means[0] > means[1] ? 1 : 0, acc_sum: logprobs[0] > logprobs[1] ? 1 : 0 };
  }
  if (item.kind === 'answer') return {};
  if (item.truth) {
    const { mc1, mc2, right } = item.truth;
    const first = mc1[argmax(mc1.map((i) => logprobs[i]))];
    return { mc1: first === item.gold ? 1 : 0, mc2: mass(logprobs, mc2, right) };
  }
  const { acc, acc_norm } = picks(scores, lengths);
  return { acc: acc === item.gold ? 1 : 0, acc_norm: acc_norm === item.gold ? 1 : 0 };
}
