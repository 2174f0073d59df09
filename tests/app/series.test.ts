import { describe, expect, it } from 'vitest';
import { Column } from '../../src/app/charts/columns';
import { axisFormat, chartRows, domainOf, niceTicks, Smoother, startAndNow, stepTicks } from '../../src/app/lib/series';

const range = (n: number) => Array.from({ length: n }, (_, i) => i + 1);

const smooth = (values: number[], weight: number) => {
  const smoother = new Smoother(weight);
  return values.map((value) => smoother.next(value));
};

describe('Smoother', () => {
  it('is the identity at weight 0', () => expect(smooth([3, 1, 2], 0)).toEqual([3, 1, 2]));

  it('leaves a constant alone from its first value on', () => {
    for (const value of smooth([5, 5, 5, 5], 0.9)) expect(value).toBeCloseTo(5, 12);
  });

  it('is the weighted mean of what came before', () => {
    const [, second, third] = smooth([1, 2, 4], 0.5);
    expect(second).toBeCloseTo((1 * 0.5 + 2) / 1.5, 12);
    expect(third).toBeCloseTo((1 * 0.25 + 2 * 0.5 + 4) / 1.75, 12);
  });

  it('steps over what is not a number', () => {
    const out = smooth([Number.NaN, 2, Number.POSITIVE_INFINITY, 2], 0.9);
    expect(out[0]).toBeNaN();
    expect(out[2]).toBeCloseTo(2, 12);
  });
});

describe('Column', () => {
  it('grown step by step equals the whole at once, and begins anew with another run', () => {
    const records = range(50).map((i) => ({ v: Math.sin(i) }));
    const grown = new Column<{ v: number }>(({ v }) => v);
    for (let n = 1; n <= records.length; n++) {
      grown.update(records.slice(0, n));
      grown.smoothed(0.9);
    }
    expect(grown.values).toEqual(records.map(({ v }) => v));
    expect(grown.smoothed(0.9)).toEqual(smooth(grown.values, 0.9));
    expect(grown.smoothed(0.5)).toEqual(smooth(grown.values, 0.5));
    expect(grown.smoothed(0)).toEqual(grown.values);
    grown.update([{ v: 7 }]);
    expect(grown.smoothed(0.5)).toEqual([7]);
    grown.update([]);
    expect(grown.values).toEqual([]);
  });
});

describe('chartRows', () => {
  it('keeps every step while there are few', () => {
    const rows = chartRows([1, 2], [[5, Number.NaN]], [[5, 6]], 10);
    expect(rows).toEqual([
      { step: 1, raw0: 5, line0: 5 },
      { step: 2, raw0: null, line0: 6 },
    ]);
  });

  it('keeps spikes, the last step and the order when there are many', () => {
    const n = 20_000;
    const values = range(n).map(() => 1);
    values[12_345] = 99;
    values[777] = -99;
    const rows = chartRows(range(n), [values], [values], 600);
    expect(rows.length).toBeLessThanOrEqual(600);
    expect(rows.at(-1)?.step).toBe(n);
    expect(rows.map((row) => row.raw0)).toContain(99);
    expect(rows.map((row) => row.raw0)).toContain(-99);
    for (let i = 1; i < rows.length; i++) expect(rows[i].step).toBeGreaterThan(rows[i - 1].step);
  });
});

describe('axes', () => {
  it('shows all of the lines but not a lone spike of the raw values', () => {
    const raw = range(100).map((i) => i / 100);
    raw[50] = 1e6;
    const [low, high] = domainOf([raw], [[0.4, 0.6, 1.4]]) as [number, number];
    expect(low).toBeLessThan(0.05);
    expect(high).toBeGreaterThanOrEqual(1.4);
    expect(high).toBeLessThan(2);
  });

  it('has no domain without values, and a width for a single one', () => {
    expect(domainOf([[]], [[Number.NaN]])).toBeNull();
    const [low, high] = domainOf([], [[3]]) as [number, number];
    expect(low).toBeLessThan(3);
    expect(high).toBeGreaterThan(3);
  });

  it('puts round ticks inside the domain', () => {
    expect(niceTicks(-0.13, 0.27, 4)).toEqual([-0.1, 0, 0.1, 0.2]);
    expect(niceTicks(0, 1, 4)).toEqual([0, 0.5, 1]);
    expect(niceTicks(2, 2, 4)).toEqual([2]);
  });

  it('writes ticks with the decimals they need', () => {
    expect([0, 0.5, 1].map(axisFormat([0, 0.5, 1]))).toEqual(['0.0', '0.5', '1.0']);
    expect([-0.02, 0].map(axisFormat([-0.02, -0.01]))).toEqual(['−0.02', '0.00']);
    expect([0, 20].map(axisFormat([0, 20]))).toEqual(['0', '20']);
  });

  it('counts steps from 1 to the last, without crowding', () => {
    expect(stepTicks(330, 4)).toEqual([1, 100, 200, 330]);
    expect(stepTicks(1, 4)).toEqual([1]);
    expect(stepTicks(8, 4).every(Number.isInteger)).toBe(true);
  });
});

describe('startAndNow', () => {
  it('compares the mean of the first steps with that of the last', () => {
    const values = range(100);
    expect(startAndNow(values)).toEqual({ start: 5.5, now: 95.5, window: 10 });
    expect(startAndNow([4, 2])).toEqual({ start: 4, now: 2, window: 1 });
    expect(startAndNow([]).now).toBeNaN();
  });
});
