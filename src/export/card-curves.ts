/** A run's curves in a model card: a line of bars each, and a short table. Text, so that every viewer shows them. */
import type { EvalRecord, StepRecord } from '../train/records';
import type { RunLog } from './log';

const BARS = '▁▂▃▄▅▆▇█';
/** Columns of a line of bars, and rows of the table. */
const COLUMNS = 40;
const ROWS = 10;

const CURVES = ['loss', 'rewards/margins', 'rewards/accuracies'] as const;

export const tellNumber = (x: number): string => (Number.isFinite(x) ? String(Number(x.toPrecision(5))) : 'not finite');

/** Neighbouring records in at most `count` groups of nearly equal size. */
function groups<T>(records: readonly T[], count: number): T[][] {
  const n = Math.min(count, records.length);
  const edge = (i: number) => Math.round((i * records.length) / n);
  return Array.from({ length: n }, (_, i) => records.slice(edge(i), edge(i + 1)));
}

function mean(records: readonly StepRecord[], key: (typeof CURVES)[number]): number {
  return records.reduce((sum, record) => sum + record[key], 0) / records.length;
}

function bars(steps: readonly StepRecord[], key: (typeof CURVES)[number]): string {
  const means = groups(steps, COLUMNS).map((group) => mean(group, key));
  const finite = means.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  return means
    .map((x) => (Number.isFinite(x) ? BARS[high > low ? Math.round(((x - low) / (high - low)) * 7) : 0] : ' '))
    .join('');
}

const cells = (values: readonly (string | number)[]) =>
  `| ${values.map((v) => (typeof v === 'number' ? tellNumber(v) : v)).join(' | ')} |`;

const EVALUATED = [
  'eval_loss',
  'eval_rewards/margins',
  'eval_rewards/accuracies',
] as const satisfies (keyof EvalRecord)[];

/** Markdown; empty for a run of less than two steps. */
export function cardCurves({ steps, evals }: RunLog): string {
  if (steps.length < 2) return '';
  const lines = CURVES.map((key) => `${key.padEnd(18)} ${bars(steps, key)}`).join('\n');
  const rows = groups(steps, ROWS).map((group) => {
    const [first, last] = [group[0].step, group.at(-1)!.step];
    return cells([first === last ? `${first}` : `${first}–${last}`, ...CURVES.map((key) => mean(group, key))]);
  });
  const parts = [
    `\`\`\`text\n${lines}\n\`\`\``,
    [cells(['steps (means)', ...CURVES]), '|---|---|---|---|', ...rows].join('\n'),
  ];
  if (evals.length) {
    const held = evals.slice(-ROWS).map((record) => cells([`${record.step}`, ...EVALUATED.map((key) => record[key])]));
    parts.push([cells(['held out, after step', ...EVALUATED]), '|---|---|---|---|', ...held].join('\n'));
  }
  return parts.join('\n\n');
}
