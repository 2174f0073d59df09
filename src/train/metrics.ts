/** TRL's metrics from per-pair numbers. Sums and means are in double precision on the host. */
import type { PairLoss } from '../model/session';
import type { OrpoMetrics } from './records';

/** A pair's losses with what its micro-batch's means need. */
export interface PairMetrics extends PairLoss {
  nllTokens: number;
  logitRows: { chosen: number; rejected: number };
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Loss and metrics of one micro-batch (spec 1.2 and 1.4). */
export function microBatchMetrics(pairs: readonly PairMetrics[], beta: number): { loss: number; metrics: OrpoMetrics } {
  const sum = (of: (p: PairMetrics) => number) => pairs.reduce((total, p) => total + of(p), 0);
  const nll = sum((p) => p.nllSum) / sum((p) => p.nllTokens);
  const ratio = mean(pairs.map((p) => p.logOddsRatio));
  const chosen = mean(pairs.map((p) => p.logpChosen));
  const rejected = mean(pairs.map((p) => p.logpRejected));
  return {
    loss: nll - beta * ratio,
    metrics: {
      nll_loss: nll,
      'rewards/chosen': beta * chosen,
      'rewards/rejected': beta * rejected,
      'rewards/accuracies': mean(pairs.map((p) => (beta * p.logpChosen > beta * p.logpRejected ? 1 : 0))),
      'rewards/margins': beta * (chosen - rejected),
      'logps/chosen': chosen,
      'logps/rejected': rejected,
      log_odds_ratio: ratio,
      log_odds_chosen: mean(pairs.map((p) => p.logOdds)),
      'logits/chosen': sum((p) => p.logitsChosenSum) / sum((p) => p.logitRows.chosen),
      'logits/rejected': sum((p) => p.logitsRejectedSum) / sum((p) => p.logitRows.rejected),
    },
  };
}

/** The unweighted mean over micro-batches (or eval batches). */
export function meanMetrics(all: readonly OrpoMetrics[]): OrpoMetrics {
  const keys = Object.keys(all[0]) as (keyof OrpoMetrics)[];
  return Object.fromEntries(keys.map((key) => [key, mean(all.map((m) => m[key]))])) as unknown as OrpoMetrics;
}
