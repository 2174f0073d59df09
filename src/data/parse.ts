/**
 * A preference file, read as a stream: its rows, the schema they were read as, and every row that cannot be used with
 * the reason.
 */
import { DataError } from './errors';
import { Gathered, type GatherOptions, MAX_PROBLEMS, readRecord } from './gather';
import { type DataFormat, type DataInput, openRecords, type RawRecord, type Records } from './read/records';
import { detectSchema, pairSchema, SAMPLE, type Schema } from './schema/detect';
import { type Fields, isFields } from './schema/fields';
import type { PairColumns } from './schema/pair-reader';
import type { RowProblem, SourceRow } from './types';

export { MAX_PROBLEMS };

export interface ParseOptions extends GatherOptions {
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
  /** Called once, with the first rows, while the rest is still being read. */
  onPreview?: (preview: Preview) => void;
}

/** Usable rows in a preview. */
export const PREVIEW_ROWS = 50;

/** The beginning of a file. */
export type Preview = Pick<
  ParsedData,
  'name' | 'format' | 'schema' | 'columns' | 'fields' | 'unit' | 'rows' | 'problems'
>;

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

/** Recognises the schema from the first records and reads all records by it. */
class Reader {
  schema: Schema | null = null;
  limited = false;
  readonly sample: Fields[] = [];
  readonly gathered: Gathered;
  readonly #options: ParseOptions;
  readonly #limit: number;
  readonly #records: Records;
  #waiting: RawRecord[] = [];
  #previewed = false;

  constructor(records: Records, options: ParseOptions) {
    this.#records = records;
    this.#options = options;
    this.#limit = options.sample ? Number.POSITIVE_INFINITY : (options.limit ?? Number.POSITIVE_INFINITY);
    this.gathered = new Gathered(options);
  }

  take(record: RawRecord): void {
    if (this.limited) return;
    if (this.schema) {
      readRecord(record, this.schema, this.gathered);
      this.limited = this.gathered.usable >= this.#limit;
      this.#preview(this.schema);
      return;
    }
    this.#waiting.push(record);
    if ('value' in record && isFields(record.value)) this.sample.push(record.value);
    // Files that hold no records at all must not pile up here.
    if (this.sample.length >= SAMPLE || this.#waiting.length >= SAMPLE * 64) this.recognise();
  }

  recognise(): Schema {
    const { columns } = this.#options;
    if (columns) this.schema = pairSchema(columns, this.sample);
    else if (this.sample.length > 0) this.schema = detectSchema(this.sample);
    else this.schema = pairSchema({ prompt: 'prompt', chosen: 'chosen', rejected: 'rejected' });
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const record of waiting) this.take(record);
    return this.schema;
  }

  get fields(): string[] {
    return [...new Set(this.sample.flatMap((record) => Object.keys(record)))];
  }

  #preview(schema: Schema): void {
    const { onPreview, name } = this.#options;
    if (this.#previewed || !onPreview || this.gathered.rows.length < PREVIEW_ROWS) return;
    this.#previewed = true;
    const { format, unit } = this.#records;
    const { rows, problems } = this.gathered;
    const { title, columns } = schema;
    onPreview({
      name,
      format,
      unit,
      schema: title,
      columns,
      fields: this.fields,
      rows: [...rows],
      problems: [...problems],
    });
  }
}

/**
 * Reads a preference file.
 *
 * @throws DataError `empty-file`, `not-text`, `bad-format`, `unknown-schema`, `unpaired`, `no-usable-rows`, `cancelled`.
 */
export async function parsePreferenceData(input: DataInput, options: ParseOptions): Promise<ParsedData> {
  const records = await openRecords(input, options);
  const reader = new Reader(records, options);
  for await (const batch of records.batches) {
    for (const record of batch) reader.take(record);
    if (reader.limited) break;
  }
  const schema = reader.schema ?? reader.recognise();
  const { gathered } = reader;
  if (gathered.usable === 0) throw none(records, gathered, options);
  return {
    name: options.name,
    format: records.format,
    compressed: records.compressed,
    schema: schema.title,
    columns: schema.columns,
    fields: reader.fields,
    unit: records.unit,
    rows: gathered.rows,
    total: gathered.usable + gathered.bad,
    usable: gathered.usable,
    problemCounts: [...gathered.counts].map(([reason, count]) => ({ reason, count })),
    problems: gathered.problems,
    limited: reader.limited,
  };
}

/** Several files as one set. Lines stay those of each file; names and schemas are joined. */
export function mergeParsed(parts: readonly ParsedData[]): ParsedData {
  const [first] = parts;
  if (parts.length === 1) return first;
  const counts = new Map<RowProblem['reason'], number>();
  for (const { reason, count } of parts.flatMap((part) => part.problemCounts)) {
    counts.set(reason, (counts.get(reason) ?? 0) + count);
  }
  const sum = (of: (part: ParsedData) => number) => parts.reduce((total, part) => total + of(part), 0);
  return {
    ...first,
    name: parts.map((part) => part.name).join(', '),
    schema: [...new Set(parts.map((part) => part.schema))].join('; '),
    fields: [...new Set(parts.flatMap((part) => part.fields))],
    rows: parts.flatMap((part) => part.rows),
    total: sum((part) => part.total),
    usable: sum((part) => part.usable),
    problemCounts: [...counts].map(([reason, count]) => ({ reason, count })),
    problems: parts.flatMap((part) => part.problems).slice(0, MAX_PROBLEMS),
    limited: parts.some((part) => part.limited),
  };
}
