/**
 * The run's records, outside React: steps arrive far faster than a screen is drawn. Readers learn of new ones at most
 * once per animation frame, and no more often than every 200 ms (500 ms in long runs), as fast as charts can be read.
 */
import { useSyncExternalStore } from 'react';
import type { EvalRecord, RunCurves, SampleRecord, StepRecord } from '../../worker/protocol';
import { clearMargins } from './margins';

const MIN_INTERVAL_MS = 200;
/** In a long run one more step moves a curve by less than a pixel. */
const LONG_RUN = 2000;
const LONG_INTERVAL_MS = 500;

export const metrics: {
  readonly steps: StepRecord[];
  readonly evals: EvalRecord[];
  readonly samples: SampleRecord[];
} = { steps: [], evals: [], samples: [] };

let version = 0;
let scheduled = false;
let lastPublished = 0;
const listeners = new Set<() => void>();

function publish(now: number): void {
  if (now - lastPublished < (metrics.steps.length > LONG_RUN ? LONG_INTERVAL_MS : MIN_INTERVAL_MS)) {
    requestAnimationFrame(publish);
    return;
  }
  scheduled = false;
  lastPublished = now;
  version++;
  for (const listener of listeners) listener();
}

function changed(): void {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(publish);
}

export function pushStep(record: StepRecord): void {
  metrics.steps.push(record);
  changed();
}

export function pushEval(record: EvalRecord): void {
  metrics.evals.push(record);
  changed();
}

export function pushSample(record: SampleRecord): void {
  metrics.samples.push(record);
  changed();
}

/** Shows these records in place of others. */
export function showMetrics({ steps, evals, samples }: RunCurves): void {
  clearMetrics();
  for (const record of steps) metrics.steps.push(record);
  for (const record of evals) metrics.evals.push(record);
  for (const record of samples) metrics.samples.push(record);
}

export function clearMetrics(): void {
  metrics.steps.length = 0;
  metrics.evals.length = 0;
  metrics.samples.length = 0;
  clearMargins();
  changed();
}

export const subscribeMetrics = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

/** A number that grows when there is something new in {@link metrics}. */
export const useMetricsVersion = (): number => useSyncExternalStore(subscribeMetrics, () => version);
