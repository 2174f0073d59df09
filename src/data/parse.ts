/**
 * A preference file, read as a stream: its rows, the schema they were read as, and every row that cannot be used with
 * the reason.
 */
import { DataError, RowError } from './errors';
import { MersenneTwister } from './random';
import { type DataFormat, type DataInput, openRecords, type RawRecord, type Records } from './read/records';
import { detectSchema, pairSchema, SAMPLE, type Schema } from './schema/detect';
import { type Fields, isFields, typeName } from './schema/fields';
import type { PairColumns } from './schema/pair-reader';
import type { RowProblem, SourceRow } from './types';

/** Problems kept with their messages; all are counted. */
export const MAX_PROBLEMS = 200;

export interface ParseOptions {
  /** The file's name, for messages; its ending helps to tell the format. */
  name: string;
  /** Bytes of the file, for messages. */
  size?: number;
  /** Bytes read so far (of a compressed file: compressed bytes). */
  onProgress?: (bytes: number) => void;
  /** Stops reading; the promise rejects with `cancelled`. */
  signal?: AbortSignal;
  /** Fields to read instead of those recognised. */
  columns?: PairColumns;
  /** Stop after this many usable rows. */
  limit?: number;
  /** Takes each usable row instead of keeping it, so that a file of any size needs little memory. */
  onRow?: (row: SourceRow) => void;
  /** Keep this many rows, drawn evenly from the whole file. */
  sample?: { count: number; seed: number };
}

export interface ParsedData {
  name: string;
  format: DataFormat;
  compressed: boolean;
  /** What the rows were read as, e.g. "request / chosen / rejected". */
  schema: string;
  /** Columns of that schema, for correcting them; null where answers are picked by label or score. */
  columns: PairColumns | null;
  /** Names of all fields seen in the first rows. */
  fields: string[];
  /** What `line` counts. */
  unit: 'line' | 'row';
  rows: SourceRow[];
  /** Rows seen: usable ones and those with problems. */
  total: number;
  /** Usable rows seen; more than `rows.length` when a sample was drawn or `onRow` took them. */
  usable: number;
  problemCounts: { reason: RowProblem['reason']; count: number }[];
  /** The first MAX_PROBLEMS, in file order. */
  problems: RowProblem[];
  /** True when reading stopped at `limit`. */
  limited: boolean;
}

/** Gathers rows and problems. */
class Gathered {
  readonly rows: SourceRow[] = [];
  readonly problems: RowProblem[] = [];
  readonly counts = new Map<RowProblem['reason'], number>();
  usable = 0;
  bad = 0;
  readonly #sample: ParseOptions['sample'];
  readonly #onRow: ParseOptions['onRow'];
  readonly #random: MersenneTwister | null;

  constructor({ sample, onRow }: Pick<ParseOptions, 'sample' | 'onRow'>) {
    this.#sample = sample;
    this.#onRow = sample ? undefined : onRow;
    this.#random = sample ? new MersenneTwister(sample.seed) : null;
  }

  /** Algorithm R: after n rows each is kept with the same chance, and memory holds `count` of them. */
  add(row: SourceRow): void {
    this.usable += 1;
    if (this.#onRow) {
      this.#onRow(row);
      return;
    }
    if (!this.#sample || !this.#random || this.rows.length < this.#sample.count) {
      this.rows.push(row);
      return;
    }
    const slot = this.#random.nextU32() % this.usable;
    if (slot < this.#sample.count) this.rows[slot] = row;
  }

  problem(problem: RowProblem): void {
    this.bad += 1;
    this.counts.set(problem.reason, (this.counts.get(problem.reason) ?? 0) + 1);
    if (this.problems.length < MAX_PROBLEMS) this.problems.push(problem);
  }
}

function readRecord(record: RawRecord, schema: Schema, gathered: Gathered): void {
  const { line } = record;
  if ('problem' in record) {
    gathered.problem(record.problem);
    return;
  }
  if (!isFields(record.value)) {
    const message = `This holds ${typeName(record.value)} instead of an object with named fields.`;
    gathered.problem({ line, reason: 'not-an-object', message });
    return;
  }
  try {
    gathered.add({ ...schema.read(record.value), line });
  } catch (error) {
    if (!(error instanceof RowError)) throw error;
    gathered.problem({ line, reason: error.reason, message: error.message });
  }
}

function none(records: Records, gathered: Gathered, options: ParseOptions): DataError {
  const [first] = gathered.problems;
  if (!first) return new DataError('empty-file', `${options.name} holds no rows. Choose a file with preference rows.`);
  const textual = gathered.counts.get('not-text') ?? 0;
  if (textual === gathered.bad) {
    return new DataError('not-text', `${options.name} is not UTF-8 text. Save it as UTF-8 and choose it again.`);
  }
  return new DataError(
    'no-usable-rows',
    `None of the ${gathered.bad} ${records.unit}s of ${options.name} can be used. ${records.unit === 'line' ? 'Line' : 'Row'} ${first.line}: ${first.message}`,
  );
}

/**
 * Reads a preference file.
 *
 * @throws DataError `empty-file`, `not-text`, `bad-format`, `unknown-schema`, `unpaired`, `no-usable-rows`, `cancelled`.
 */
export async function parsePreferenceData(input: DataInput, options: ParseOptions): Promise<ParsedData> {
  const records = await openRecords(input, options);
  const gathered = new Gathered(options);
  const limit = options.sample ? Number.POSITIVE_INFINITY : (options.limit ?? Number.POSITIVE_INFINITY);
  const waiting: RawRecord[] = [];
  const sample: Fields[] = [];
  let schema: Schema | null = null;
  let limited = false;
  const recognise = () => {
    if (sample.length > 0 || options.columns) {
      schema = options.columns ? pairSchema(options.columns, sample) : detectSchema(sample);
    } else schema = pairSchema({ prompt: 'prompt', chosen: 'chosen', rejected: 'rejected' });
    for (const record of waiting) take(record);
    waiting.length = 0;
  };
  const take = (record: RawRecord) => {
    if (limited) return;
    if (schema) {
      readRecord(record, schema, gathered);
      limited = gathered.usable >= limit;
      return;
    }
    waiting.push(record);
    if ('value' in record && isFields(record.value)) sample.push(record.value);
    // Files that hold no records at all must not pile up here.
    if (sample.length >= SAMPLE || waiting.length >= SAMPLE * 64) recognise();
  };
  for await (const batch of records.batches) {
    for (const record of batch) take(record);
    if (limited) break;
  }
  if (!schema) recognise();
  if (gathered.usable === 0) throw none(records, gathered, options);
  const { title, columns } = schema as unknown as Schema;
  return {
    name: options.name,
    format: records.format,
    compressed: records.compressed,
    schema: title,
    columns,
    fields: [...new Set(sample.flatMap((record) => Object.keys(record)))],
    unit: records.unit,
    rows: gathered.rows,
    total: gathered.usable + gathered.bad,
    usable: gathered.usable,
    problemCounts: [...gathered.counts].map(([reason, count]) => ({ reason, count })),
    problems: gathered.problems,
    limited,
  };
}
