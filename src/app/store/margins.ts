/** The latest reward margin of every training pair of the run, outside React like the metrics. */
import { useSyncExternalStore } from 'react';

const MIN_INTERVAL_MS = 500;

/** By row of the run's training pairs. */
export const margins = new Map<number, { margin: number; step: number }>();

let version = 0;
let scheduled = false;
const listeners = new Set<() => void>();

function changed(): void {
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    scheduled = false;
    version++;
    for (const listener of listeners) listener();
  }, MIN_INTERVAL_MS);
}

export function pushMargins(step: number, rows: readonly number[], values: readonly number[]): void {
  for (const [i, row] of rows.entries()) margins.set(row, { margin: values[i], step });
  changed();
}

export function clearMargins(): void {
  margins.clear();
  changed();
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

/** Grows when there is something new in {@link margins}. */
export const useMarginsVersion = (): number => useSyncExternalStore(subscribe, () => version);
