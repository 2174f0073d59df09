/** TRL's metrics from per-pair numbers, by hand. */
import { expect, test } from 'vitest';
import { meanMetrics, microBatchMetrics, type PairMetrics } from '../../src/train/metrics';

const pair = (changes: Partial<PairMetrics> = {}): PairMetrics => ({
  nllSum: 10,
  nllTokens: 5,
  logpChosen: -1,
  logpRejected: -2,
  logOdds: 1.5,
  logOddsRatio: -0.2,
  logitsChosenSum: 6,
  logitsRejectedSum: -4,
  logitRows: { chosen: 3, rejected: 2 },
  ...changes,
});

test('a micro-batch: NLL over all its tokens, everything else over its pairs', () => {
  const second = pair({
    nllSum: 2,
    nllTokens: 1,
    logpChosen: -4,
    logpRejected: -3,
    logOdds: -1,
    logOddsRatio: -1.4,
    logitsChosenSum: 2,
    logitsRejectedSum: 10,
    logitRows: { chosen: 1, rejected: 4 },
  });
  const { loss, metrics } = microBatchMetrics([pair(), second], 0.5);
  expect(metrics).toEqual({
    nll_loss: 12 / 6,
    'rewards/chosen': 0.5 * -2.5,
    'rewards/rejected': 0.5 * -2.5,
    'rewards/accuracies': 0.5,
    'rewards/margins': 0,
    'logps/chosen': -2.5,
    'logps/rejected': -2.5,
    log_odds_ratio: (-0.2 - 1.4) / 2,
    log_odds_chosen: 0.25,
    'logits/chosen': 8 / 4,
    'logits/rejected': 6 / 6,
  });
  expect(loss).toBeCloseTo(2 + 0.5 * 0.8, 12);
});

test('the NLL is no mean of means', () => {
  const { metrics } = microBatchMetrics([pair(), pair({ nllSum: 100, nllTokens: 95 })], 0.1);
  expect(metrics.nll_loss).toBeCloseTo(110 / 100, 12);
});

test('equal rewards are no win', () => {
  const same = pair({ logpRejected: -1 });
  expect(microBatchMetrics([same], 0.1).metrics['rewards/accuracies']).toBe(0);
  // With beta 0 all rewards are equal.
  expect(microBatchMetrics([pair()], 0).metrics['rewards/accuracies']).toBe(0);
});

test('a step is the plain mean of its micro-batches, however long they are', () => {
  const long = microBatchMetrics([pair({ nllSum: 300, nllTokens: 100 })], 0.1).metrics;
  const short = microBatchMetrics([pair({ nllSum: 1, nllTokens: 1 })], 0.1).metrics;
  expect(meanMetrics([long, short]).nll_loss).toBe(2);
  expect(meanMetrics([long])).toEqual(long);
});
