/** Several runs on one chart: what is drawn of each, and the axes that fit them all. All pure. */
import type { EvalRecord, StepRecord } from '../../worker/protocol';
import { chartRows, domainOf, niceTicks, Smoother, stepTicks } from './series';

export interface OverlayMetric {
  id: string;
  title: string;
  of(record: StepRecord): number;
  ofEval?(record: EvalRecord): number;
  domain?: [number, number];
}

export const OVERLAY_METRICS: OverlayMetric[] = [
  { id: 'loss', title: 'Loss', of: (r) => r.loss, ofEval: (r) => r.eval_loss },
  {
    id: 'margins',
    title: 'Reward margin',
    of: (r) => r['rewards/margins'],
    ofEval: (r) => r['eval_rewards/margins'],
  },
  {
    id: 'accuracy',
    title: 'Accuracy',
    of: (r) => r['rewards/accuracies'],
    ofEval: (r) => r['eval_rewards/accuracies'],
    domain: [0, 1],
  },
  { id: 'grad_norm', title: 'Gradient norm', of: (r) => r.grad_norm },
];

export interface OverlayRun {
  id: string;
  name: string;
  /** 1..6 */
  color: number;
  steps: readonly StepRecord[];
  evals: readonly EvalRecord[];
}

export interface OverlayLine {
  run: OverlayRun;
  points: { step: number; value: number }[];
  dots: { step: number; value: number }[];
}

export interface OverlayData {
  lines: OverlayLine[];
  x: { last: number; ticks: number[] };
  y: { low: number; high: number; ticks: number[] };
}

const MOST_POINTS = 400;

/** Numbers of a run's records by what reads them, read once: a run of many steps is drawn again at every change. */
const columns = new WeakMap<readonly StepRecord[], Map<(record: StepRecord) => number, Float64Array>>();
const stepOf = ({ step }: StepRecord): number => step;

function column(records: readonly StepRecord[], of: (record: StepRecord) => number): Float64Array {
  const known = columns.get(records) ?? new Map();
  columns.set(records, known);
  const values = known.get(of) ?? Float64Array.from(records, of);
  known.set(of, values);
  return values;
}

function lineOf(run: OverlayRun, metric: OverlayMetric, smoothing: number): OverlayLine {
  const raw = column(run.steps, metric.of);
  const smoother = new Smoother(smoothing);
  const line = smoothing > 0 ? raw.map((value) => smoother.next(value)) : raw;
  const steps = column(run.steps, stepOf);
  const points = chartRows(steps, [line], [line], MOST_POINTS).flatMap(({ step, raw0 }) =>
    raw0 == null ? [] : [{ step, value: raw0 }],
  );
  const { ofEval } = metric;
  const dots = ofEval ? run.evals.map((record) => ({ step: record.step, value: ofEval(record) })) : [];
  return { run, points, dots: dots.filter(({ value }) => Number.isFinite(value)) };
}

/** @param smoothing weight of the moving average, 0 for none */
export function overlay(runs: readonly OverlayRun[], metric: OverlayMetric, smoothing: number): OverlayData {
  const lines = runs.map((run) => lineOf(run, metric, smoothing));
  const values = lines.map(({ points }) => points.map(({ value }) => value));
  const held = lines.map(({ dots }) => dots.map(({ value }) => value));
  const [low, high] = metric.domain ?? domainOf(values, held) ?? [0, 1];
  const last = Math.max(2, ...lines.flatMap(({ points }) => points.at(-1)?.step ?? 0));
  return { lines, x: { last, ticks: stepTicks(last, 5) }, y: { low, high, ticks: niceTicks(low, high, 4) } };
}
