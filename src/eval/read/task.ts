/** A benchmark's file (JSON lines, JSON, CSV, TSV or Parquet, gzipped or not) as a task. */
import { type DataInput, openRecords } from '../../data/read/records';
import { EvaluationError } from '../errors';
import { type EvalItem, type EvalTask, metricsOf, type TaskProblem } from '../items';
import { ItemError, isFields } from './fields';
import { readItem, TASK_SCHEMAS, type TaskSchema } from './schemas';

export interface TaskOptions {
  /** Name of the task in results. */
  name: string;
  /** Only the first so many rows. */
  limit?: number;
  signal?: AbortSignal;
}

/** arc_easy for data/eval/arc_easy.jsonl.gz */
export const taskName = (path: string): string =>
  (path.split(/[/\\]/u).at(-1) ?? path).replace(/(\.(jsonl?|ndjson|csv|tsv|parquet|gz))+$/iu, '');

/**
 * @throws EvaluationError `unknown-task` when the first row is of no known kind, `no-items` when no row can be used; DataError
 *   when the file cannot be read
 */
export async function readTask(input: DataInput, { name, limit, signal }: TaskOptions): Promise<EvalTask> {
  const most = limit ?? Number.POSITIVE_INFINITY;
  const { batches } = await openRecords(input, { name, signal });
  const items: EvalItem[] = [];
  const problems: TaskProblem[] = [];
  let schema: TaskSchema | undefined;
  let seen = 0;
  for await (const batch of batches) {
    for (const record of batch) {
      if (seen >= most) break;
      seen += 1;
      const { line } = record;
      if ('problem' in record) {
        problems.push({ line, message: record.problem.message });
        continue;
      }
      const row = record.value;
      if (!isFields(row)) {
        problems.push({ line, message: 'This is no object with named fields.' });
        continue;
      }
      schema ??= TASK_SCHEMAS.find((s) => s.matches(row));
      if (!schema) throw unknown(name, Object.keys(row));
      try {
        items.push(readItem(schema, row, line));
      } catch (error) {
        if (!(error instanceof ItemError) && !(error instanceof TypeError)) throw error;
        problems.push({ line, message: error instanceof ItemError ? error.message : 'A field is missing.' });
      }
    }
    if (seen >= most) break;
  }
  if (!schema || items.length === 0) {
    const [first] = problems;
    const why = first ? ` Row ${first.line}: ${first.message}` : '';
    throw new EvaluationError('no-items', `${name} holds no usable question.${why}`);
  }
  return {
    name,
    format: schema.name,
    items,
    description: schema.description ?? '',
    metrics: metricsOf(items),
    problems,
  };
}

function unknown(name: string, fields: readonly string[]): EvaluationError {
  return new EvaluationError(
    'unknown-task',
    `${name} is of no known kind of benchmark: its rows have ${fields.slice(0, 8).join(', ') || 'no fields'}. ` +
      'Use rows such as {"query": "…", "choices": ["…", "…"], "gold": 0}.',
  );
}
