/** Standard errors, McNemar and the bootstrap against numbers of scipy 1.17 (binomtest, sem, bootstrap) and exact ones. */
import { describe, expect, test } from 'vitest';
import { flipsOf, metricRow } from '../../src/eval/compare';
import type { ItemResult } from '../../src/eval/evaluate';
import { bootstrapInterval, cautions, mcnemarExact, standardError } from '../../src/eval/statistics';

describe('standard error', () => {
  test('scipy.stats.sem', () => {
    expect(standardError([1, 0, 0, 1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 0, 1, 0])).toBeCloseTo(
      0.11413288653790232,
      14,
    );
    expect(standardError([0.25, 0.5, 0.125, 0.875, 0.3])).toBeCloseTo(0.13100572506573901, 14);
    expect(standardError([1])).toBe(0);
  });
});

test('exact McNemar: scipy.stats.binomtest(min(b, c), b + c, 0.5).pvalue', () => {
  const cases: [number, number, number][] = [
    [0, 0, 1],
    [1, 0, 1],
    [5, 0, 0.0625],
    [6, 0, 0.03125],
    [3, 9, 0.14599609375],
    [12, 25, 0.04703102743951604],
    [40, 61, 0.046044066929342785],
    [7, 7, 1],
  ];
  for (const [b, c, p] of cases) {
    expect(mcnemarExact(b, c)).toBeCloseTo(p, 12);
    expect(mcnemarExact(c, b)).toBe(mcnemarExact(b, c));
  }
  // 2^-1500 is no double.
  expect(mcnemarExact(700, 800) / 0.010559255466711506).toBeCloseTo(1, 9);
});

/** Differences of `n` items of which so many became wrong and right. */
const flips = (n: number, lost: number, won: number) =>
  Array.from({ length: n }, (_, i) => (i < lost ? -1 : i < lost + won ? 1 : 0));

describe('paired bootstrap', () => {
  // The exact bootstrap distribution of a mean of -1, 0 and 1 is a convolution: its 2.5 % and 97.5 % points.
  test.each([
    [100, 8, 19, 0.01, 0.21],
    [40, 3, 3, -0.125, 0.125],
    [500, 60, 45, -0.07, 0.01],
  ])('%i items, %i lost, %i won', (n, lost, won, low, high) => {
    const interval = bootstrapInterval(flips(n, lost, won));
    // Resampling 2,000 times may miss by a step of 1 / n.
    expect(Math.abs(interval[0] - low)).toBeLessThanOrEqual(1 / n + 1e-12);
    expect(Math.abs(interval[1] - high)).toBeLessThanOrEqual(1 / n + 1e-12);
    expect(bootstrapInterval(flips(n, lost, won))).toEqual(interval);
    expect(bootstrapInterval(flips(n, lost, won), { level: 0.5 })[0]).toBeGreaterThan(interval[0]);
  });

  test('other values: scipy.stats.bootstrap of 200,000 resamples', () => {
    const z = [0.31, -0.12, 0.05, 0.44, -0.3, 0.21, 0.02, 0.17, -0.08, 0.4, 0.11, -0.05];
    const [low, high] = bootstrapInterval(z, { resamples: 50_000 });
    expect(Math.abs(low - -0.0225)).toBeLessThan(2e-3);
    expect(Math.abs(high - 0.215833)).toBeLessThan(2e-3);
  });
});

describe('what a comparison says of itself', () => {
  test('cautions name the numbers', () => {
    expect(cautions(20, 3, [-0.1, 0.3])).toEqual([
      'Only 20 items: one of them is worth 5.0 points. Use at least 50.',
      'Only 3 items flipped; fewer than 6 cannot show a difference at the 5 % level.',
    ]);
    expect(cautions(400, 60, [-0.02, 0.05])).toEqual([
      'The interval holds 0: 400 items cannot tell this difference from chance (± 5.0 points).',
    ]);
    expect(cautions(400, 60, [0.01, 0.05])).toEqual([]);
  });

  const item = (base: number, tuned: number, line: number): ItemResult => ({
    item: { kind: 'answer', line, title: '', prompt: '', target: '', until: [] },
    sides: [base, tuned].map((exact_match) => ({ scores: [], values: { exact_match } })),
  });

  test('a row of the table, and the items that flipped', () => {
    const items = flips(100, 8, 19).map((d, i) =>
      item(d < 0 ? 1 : d > 0 ? 0 : i % 2, d < 0 ? 0 : d > 0 ? 1 : i % 2, i + 1),
    );
    const row = metricRow({ items }, 'exact_match');
    expect(row.comparison).toMatchObject({ lost: 8, won: 19, p: mcnemarExact(8, 19), cautions: [] });
    expect(row.comparison!.difference).toBeCloseTo(0.11, 12);
    expect(row.tuned!.value - row.base.value).toBeCloseTo(0.11, 12);
    expect(row.comparison!.stderr).toBeCloseTo(standardError(flips(100, 8, 19)), 14);
    const task = {
      name: 't',
      format: '',
      metrics: ['exact_match' as const],
      items,
      cut: 0,
      shots: 0,
      seed: 0,
      problems: [],
      seconds: 0,
    };
    expect(flipsOf(task, 'exact_match').map(({ item }) => item.line)).toEqual(
      Array.from({ length: 27 }, (_, i) => i + 1),
    );
    expect(
      metricRow({ items: items.map(({ item, sides }) => ({ item, sides: sides.slice(0, 1) })) }, 'exact_match'),
    ).toMatchObject({
      tuned: null,
      comparison: null,
    });
  });
});
