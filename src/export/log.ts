import type { EvalRecord, StepRecord } from '../train/records';

/** What a run reported, each list by rising step. */
export interface RunLog {
  steps: readonly StepRecord[];
  evals: readonly EvalRecord[];
}

/** The leading columns, in the order people look for them; others follow as they come. */
const LEADING = ['step', 'epoch', 'loss', 'grad_norm', 'learning_rate'];

/** One JSON object a line, TRL's metric names; an evaluation follows the step after which it was made. */
export function logJsonl({ steps, evals }: RunLog): string {
  const records: { step: number }[] = [...steps, ...evals].sort((a, b) => a.step - b.step); // stable: steps first
  return records.map((record) => `${JSON.stringify(record)}\n`).join('');
}

/** One row a step with the evaluation after it in the same row; an empty cell where there is no (finite) value. */
export function logCsv({ steps, evals }: RunLog): string {
  const rows = new Map<number, Record<string, number>>();
  for (const record of [...steps, ...evals]) rows.set(record.step, { ...rows.get(record.step), ...record });
  const columns = new Set(LEADING);
  for (const row of [...steps, ...evals]) for (const key of Object.keys(row)) columns.add(key);
  const cell = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? String(value) : '');
  const sorted = [...rows.values()].sort((a, b) => a.step - b.step);
  const lines = sorted.map((row) => Array.from(columns, (column) => cell(row[column])).join(','));
  return `${[[...columns].join(','), ...lines].join('\r\n')}\r\n`;
}
