import { useMemo } from 'react';
import type { StepRecord } from '../../worker/protocol';
import { type ChartRow, chartRows, domainOf, niceTicks, startAndNow } from '../lib/series';
import { metrics } from '../store/metrics';
import { Column } from './columns';
import type { ChartDefinition } from './definitions';

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

/** At most this many rows; never more than there are pixels to draw them on. */
const rowsFor = (width: number) => Math.min(800, Math.max(200, Math.ceil(width / 100) * 100));

/** Everything one chart of `width` pixels draws. `version` says when the metric arrays have grown. */
export function useChartData(
  definition: ChartDefinition,
  version: number,
  smoothing: number,
  beta: number,
  guide: number | null,
  width: number,
): ChartData {
  const { series } = definition;
  const steps = useMemo(() => new Column<StepRecord>((record) => record.step), []);
  const columns = useMemo(
    () => series.map(({ of }) => new Column<StepRecord>((record) => of(record, beta))),
    [series, beta],
  );
  const maxRows = rowsFor(width);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the arrays are changed in place; version stands for them
  return useMemo(() => {
    const { steps: records, evals } = metrics;
    steps.update(records);
    for (const column of columns) column.update(records);
    const raw = columns.map(({ values }) => values);
    const lines = definition.smoothed ? columns.map((column) => column.smoothed(smoothing)) : raw;
    const dots = series.map(({ ofEval }) =>
      ofEval
        ? evals
            .map((record) => ({ step: record.step, value: ofEval(record, beta) }))
            .filter(({ value }) => Number.isFinite(value))
        : [],
    );
    const rows = chartRows(steps.values, raw, lines, maxRows);
    const whole = [
      ...series.map((_, s) => rows.map((row) => row[`line${s}`] ?? Number.NaN)),
      ...dots.map((points) => points.map(({ value }) => value)),
      guide === null || records.length === 0 ? [] : [guide],
    ];
    const domain = definition.domain ?? domainOf(raw, whole) ?? [0, 1];
    return {
      rows,
      dots,
      domain,
      ticks: niceTicks(domain[0], domain[1], 4),
      latest: series.map((_, s) => ({
        now: lines[s].at(-1) ?? Number.NaN,
        start: startAndNow(raw[s]).start,
        held: dots[s].at(-1)?.value ?? Number.NaN,
      })),
      lastStep: steps.values.at(-1) ?? 0,
    };
  }, [definition, steps, columns, version, smoothing, beta, guide, maxRows]);
}
