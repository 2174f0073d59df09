/** Results as files: lm-evaluation-harness' results.json, and CSV of the table and of the items. */
import { flipsOf, metricRows } from './compare';
import type { ItemResult, TaskResult } from './evaluate';
import type { Perplexity } from './perplexity';

export interface ResultFacts {
  /** Name of the model, and of the adapter where there is one. */
  model: string;
  adapter: string | null;
  /** When it was evaluated. */
  date: Date;
}

type Json = Record<string, unknown>;

const keyed = (tasks: readonly TaskResult[], value: (task: TaskResult) => unknown): Json =>
  Object.fromEntries(tasks.map((task) => [task.name, value(task)]));

/** "acc,none" and "acc_stderr,none", as the harness names a metric without filter. */
function sideResults(task: TaskResult, side: 'base' | 'tuned'): Json {
  const out: Json = { alias: task.name };
  for (const row of metricRows(task)) {
    const summary = row[side] ?? row.base;
    out[`${row.metric},none`] = summary.value;
    out[`${row.metric}_stderr,none`] = summary.stderr;
  }
  return out;
}

/**
 * The layout of lm-evaluation-harness' results file. `results` is of the model as asked for: with the adapter where there
 * is one; `base_results` and `comparison` are then added.
 */
export function resultsJson(tasks: readonly TaskResult[], texts: readonly Perplexity[], facts: ResultFacts): Json {
  const tuned = facts.adapter !== null;
  const args = [`pretrained=${facts.model}`, ...(tuned ? [`peft=${facts.adapter}`] : [])].join(',');
  const text = (side: 'base' | 'tuned') => Object.fromEntries(texts.map((t) => [t.name, textResults(t, side)]));
  return {
    results: {
      ...keyed(tasks, (task) => sideResults(task, tuned ? 'tuned' : 'base')),
      ...text(tuned ? 'tuned' : 'base'),
    },
    ...(tuned && {
      base_results: { ...keyed(tasks, (task) => sideResults(task, 'base')), ...text('base') },
      comparison: keyed(tasks, (task) => Object.fromEntries(metricRows(task).map((r) => [r.metric, r.comparison]))),
    }),
    group_subtasks: keyed(tasks, () => []),
    configs: keyed(tasks, (task) => ({
      task: task.name,
      dataset_format: task.format,
      num_fewshot: task.shots,
      fewshot_seed: task.seed,
      metric_list: task.metrics.map((metric) => ({ metric, aggregation: 'mean', higher_is_better: true })),
      cut_on_the_left: task.cut,
    })),
    versions: keyed(tasks, () => 1),
    'n-shot': keyed(tasks, (task) => task.shots),
    higher_is_better: keyed(tasks, (task) => Object.fromEntries(task.metrics.map((metric) => [metric, true]))),
    'n-samples': keyed(tasks, (task) => ({
      original: task.items.length + task.problems.length,
      effective: task.items.length,
    })),
    config: { model: 'orpo-studio', model_args: args, batch_size: 'auto', fewshot_seed: tasks[0]?.seed ?? 0 },
    git_hash: null,
    date: facts.date.getTime() / 1000,
    model_source: 'orpo-studio',
    model_name: facts.model,
    total_evaluation_time_seconds: String(tasks.reduce((sum, task) => sum + task.seconds, 0)),
  };
}

function textResults(text: Perplexity, side: 'base' | 'tuned'): Json {
  const numbers = text[side] ?? text.base;
  return {
    alias: text.name,
    'perplexity,none': numbers.perplexity,
    'byte_perplexity,none': numbers.bytePerplexity,
    'bits_per_byte,none': numbers.bitsPerByte,
  };
}

const cell = (value: unknown): string => {
  const text = value === null || value === undefined ? '' : String(value);
  return /[",\r\n]/u.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

const csv = (rows: readonly (readonly unknown[])[]): string =>
  rows.map((row) => `${row.map(cell).join(',')}\r\n`).join('');

/** The table: a line for each metric of each task. */
export function tableCsv(tasks: readonly TaskResult[], texts: readonly Perplexity[] = []): string {
  const head = ['task', 'metric', 'n', 'base', 'base_stderr', 'tuned', 'tuned_stderr'];
  const more = ['difference', 'difference_stderr', 'ci95_low', 'ci95_high', 'mcnemar_p', 'lost', 'won'];
  const rows = tasks.flatMap((task) =>
    metricRows(task).map(({ metric, n, base, tuned, comparison: c }) => [
      ...[task.name, metric, n, base.value, base.stderr, tuned?.value, tuned?.stderr],
      ...[c?.difference, c?.stderr, c?.interval[0], c?.interval[1], c?.p, c?.lost, c?.won],
    ]),
  );
  const textRows = texts.map(({ name, tokens, base, tuned }) => [
    ...[name, 'perplexity', tokens, base.perplexity, null, tuned?.perplexity, null],
    tuned ? tuned.perplexity - base.perplexity : null,
  ]);
  return csv([[...head, ...more], ...rows, ...textRows]);
}

/** What an item asks, what it is scored on, and each side's numbers. */
function itemRow(task: TaskResult, { item, sides }: ItemResult): unknown[] {
  const gold =
    item.kind === 'answer' ? item.target : item.kind === 'choice' ? item.choices[item.gold].continuation : '';
  const numbers = sides.map(({ values, scores, answer }) => [
    ...task.metrics.map((metric) => values[metric]),
    answer ?? scores.map(({ logprob }) => logprob.toFixed(4)).join(' '),
  ]);
  return [task.name, item.line, item.title, gold.trim(), ...numbers.flat()];
}

/** Every item, or with `flipped` only those that changed under the task's first metric. */
export function itemsCsv(task: TaskResult, flipped = false): string {
  const sides = task.items[0]?.sides.length === 2 ? ['base', 'tuned'] : ['base'];
  const head = sides.flatMap((side) => [...task.metrics.map((metric) => `${side}_${metric}`), `${side}_logprobs`]);
  const items = flipped ? flipsOf(task, task.metrics[0]) : task.items;
  return csv([['task', 'line', 'question', 'gold', ...head], ...items.map((item) => itemRow(task, item))]);
}
