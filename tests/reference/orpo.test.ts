import { describe, expect, test } from 'vitest';
import { gradientError } from './check';
import { LOGP_CEILING, type LossEntry, log1mexp, logSigmoid, orpo } from './orpo';
import { createRng } from './rng';

/** Three pairs in two micro-batches; every chosen sequence has two prompt targets, answers of different lengths. */
const lengths = [
  [3, 2],
  [1, 4],
  [2, 2],
];
const entries: LossEntry[] = lengths.flatMap(([chosen, rejected], pair) => [
  ...Array.from({ length: 2 + chosen }, (_, t) => ({
    row: t,
    target: 0,
    pair,
    role: 'chosen' as const,
    nll: true,
    answer: t >= 2,
  })),
  ...Array.from({ length: rejected }, (_, t) => ({
    row: 10 + t,
    target: 0,
    pair,
    role: 'rejected' as const,
    nll: false,
    answer: true,
  })),
]);
const options = { beta: 0.4, microOfPair: [0, 0, 1], groupSize: 2 };
const draw = () => createRng(11).uniforms(entries.length, -3, -0.05);

describe('orpo', () => {
  test('weights are minus the gradient of the loss in the log-probabilities', () => {
    const logps = draw();
    const { weights } = orpo(entries, logps, options);
    const loss = () => orpo(entries, logps, options).loss;
    expect(
      gradientError(
        loss,
        logps,
        weights.map((w) => -w),
        { samples: 100 },
      ),
    ).toBeLessThan(1e-8);
  });

  test('loss = nll - beta · mean logsigmoid(logit(e^lc) - logit(e^lr)), the NLL a mean over the tokens of a micro-batch', () => {
    const logps = draw();
    const { micro, loss } = orpo(entries, logps, options);
    const logit = (lp: number) => lp - Math.log(1 - Math.exp(lp));
    const losses = [[0, 1], [2]].map((pairs) => {
      const own = entries.map((entry, i) => ({ ...entry, lp: logps[i] })).filter((e) => pairs.includes(e.pair));
      const average = (list: { lp: number }[]) => list.reduce((s, e) => s + e.lp, 0) / list.length;
      const nll = -average(own.filter((e) => e.role === 'chosen'));
      const ratios = pairs.map((pair) => {
        const [chosen, rejected] = ['chosen', 'rejected'].map((role) =>
          average(own.filter((e) => e.pair === pair && e.role === role && e.answer)),
        );
        return Math.log(1 / (1 + Math.exp(-(logit(chosen) - logit(rejected)))));
      });
      return nll - (0.4 * ratios.reduce((s, r) => s + r, 0)) / ratios.length;
    });
    losses.forEach((expected, j) => {
      expect(micro[j].loss).toBeCloseTo(expected, 10);
    });
    expect(loss).toBeCloseTo((losses[0] + losses[1]) / 2, 10);
  });

  test('metrics hang together', () => {
    const { micro } = orpo(entries, draw(), options);
    for (const { loss, metrics } of micro) {
      expect(loss).toBeCloseTo(metrics.nll_loss - 0.4 * metrics.log_odds_ratio, 12);
      expect(metrics['rewards/margins']).toBeCloseTo(metrics['rewards/chosen'] - metrics['rewards/rejected'], 12);
      expect(metrics['rewards/chosen']).toBeCloseTo(0.4 * metrics['logps/chosen'], 12);
    }
  });

  test('equal answers are no win: accuracy is strict', () => {
    const { micro } = orpo(entries, new Float64Array(entries.length).fill(-1), options);
    expect(micro[0].metrics['rewards/accuracies']).toBe(0);
    expect(micro[0].metrics.log_odds_ratio).toBeCloseTo(Math.log(0.5), 12);
  });

  test('a certain answer (log-probability 0) keeps every number finite', () => {
    const logps = draw();
    entries.forEach((entry, i) => {
      if (entry.pair === 0) logps[i] = 0;
    });
    const result = orpo(entries, logps, options);
    expect(Number.isFinite(result.loss)).toBe(true);
    expect(result.weights.every(Number.isFinite)).toBe(true);
    expect(log1mexp(LOGP_CEILING)).toBeCloseTo(Math.log(1e-6), 5);
  });

  test('log1mexp and logSigmoid at both ends', () => {
    expect(log1mexp(-1e-10)).toBeCloseTo(Math.log(1e-10), 8);
    expect(log1mexp(-40)).toBeCloseTo(-Math.exp(-40), 25);
    expect(logSigmoid(-800)).toBe(-800);
    expect(logSigmoid(800)).toBeCloseTo(0, 300);
    expect(logSigmoid(0)).toBeCloseTo(-Math.LN2, 14);
  });
});
