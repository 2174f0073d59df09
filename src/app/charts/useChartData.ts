import { useMemo } from 'react';
import { type ChartRow, chartRows, domainOf, niceTicks, smooth, startAndNow } from '../lib/series';
import { metrics } from '../store/metrics';
import type { ChartDefinition } from './definitions';

const MAX_ROWS = 600;

export interface EvalDot {
  step: number;
  value: number;
}

export interface ChartData {
  rows: ChartRow[];
  /** Per series, its held-out points. */
  dots: EvalDot[][];
  domain: [number, number];
  ticks: number[];
  /** Per series: the smoothed value now, the value at the start, the last held-out value. NaN where there is none. */
  latest: { now: number; start: number; held: number }[];
  lastStep: number;
}

/** Everything one chart draws. `version` says when the metric arrays have grown. */
export function useChartData(
  definition: ChartDefinition,
  version: number,
  smoothing: number,
  beta: number,
  guide: number | null,
): ChartData {
  // biome-ignore lint/correctness/useExhaustiveDependencies: the arrays are changed in place; version stands for them
  return useMemo(() => {
    const { steps: records, evals } = metrics;
    const { series } = definition;
    const steps = records.map((record) => record.step);
    const raw = series.map(({ of }) => records.map((record) => of(record, beta)));
    const lines = definition.smoothed ? raw.map((values) => smooth(values, smoothing)) : raw;
    const dots = series.map(({ ofEval }) =>
      ofEval
        ? evals
            .map((record) => ({ step: record.step, value: ofEval(record, beta) }))
            .filter(({ value }) => Number.isFinite(value))
        : [],
    );
    const whole = [...lines, ...dots.map((points) => points.map(({ value }) => value))];
    const domain = definition.domain ??
      domainOf(raw, guide === null || records.length === 0 ? whole : [...whole, [guide]]) ?? [0, 1];
    return {
      rows: chartRows(steps, raw, lines, MAX_ROWS),
      dots,
      domain,
      ticks: niceTicks(domain[0], domain[1], 4),
      latest: series.map((_, s) => ({
        now: lines[s].at(-1) ?? Number.NaN,
        start: startAndNow(raw[s]).start,
        held: dots[s].at(-1)?.value ?? Number.NaN,
      })),
      lastStep: steps.at(-1) ?? 0,
    };
  }, [definition, version, smoothing, beta, guide]);
}
