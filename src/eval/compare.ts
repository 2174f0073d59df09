/** Base beside tuned: a row for each metric of a task, and the items that flipped. */
import type { ItemResult, TaskResult } from './evaluate';
import type { MetricName } from './items';
import { bootstrapInterval, cautions, mcnemarExact, mean, standardError } from './statistics';

export interface SideSummary {
  value: number;
  stderr: number;
}

export interface MetricRow {
  metric: MetricName;
  /** Items counted. */
  n: number;
  base: SideSummary;
  /** Null where no adapter was evaluated. */
  tuned: SideSummary | null;
  comparison: {
    difference: number;
    /** Of the paired differences. */
    stderr: number;
    /** 95 %, by paired bootstrap. */
    interval: [number, number];
    /** Exact McNemar; null for metrics that are no yes or no. */
    p: number | null;
    /** Items that became wrong, and that became right; null as p. */
    lost: number | null;
    won: number | null;
    cautions: string[];
  } | null;
}

const valuesOf = (items: readonly ItemResult[], side: number, metric: MetricName): number[] =>
  items.map(({ sides }) => sides[side].values[metric] ?? 0);

const summary = (values: readonly number[]): SideSummary => ({ value: mean(values), stderr: standardError(values) });

export function metricRow({ items }: Pick<TaskResult, 'items'>, metric: MetricName): MetricRow {
  const base = valuesOf(items, 0, metric);
  const n = items.length;
  if (items[0].sides.length < 2) return { metric, n, base: summary(base), tuned: null, comparison: null };
  const tuned = valuesOf(items, 1, metric);
  const differences = tuned.map((value, i) => value - base[i]);
  const yesOrNo = [...base, ...tuned].every((value) => value === 0 || value === 1);
  const lost = yesOrNo ? differences.filter((d) => d < 0).length : null;
  const won = yesOrNo ? differences.filter((d) => d > 0).length : null;
  const interval = bootstrapInterval(differences);
  return {
    metric,
    n,
    base: summary(base),
    tuned: summary(tuned),
    comparison: {
      difference: mean(differences),
      stderr: standardError(differences),
      interval,
      p: lost === null || won === null ? null : mcnemarExact(lost, won),
      lost,
      won,
      cautions: cautions(n, lost === null || won === null ? null : lost + won, interval),
    },
  };
}

export const metricRows = (result: TaskResult): MetricRow[] =>
  result.metrics.map((metric) => metricRow(result, metric));

/** Items whose yes or no changed between the sides under a metric, in file order. */
export const flipsOf = ({ items }: TaskResult, metric: MetricName): ItemResult[] =>
  items.filter(({ sides }) => sides.length > 1 && sides[0].values[metric] !== sides[1].values[metric]);
