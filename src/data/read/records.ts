/** From a stream of bytes to records (objects with named fields), whatever the format of the file. */
import type { ByteSource } from '../../formats/bytes';
import { DataError } from '../errors';
import type { RowProblem } from '../types';
import { CsvSplitter } from './csv';
import { JsonElements, MAX_ELEMENT_BYTES, ROW_KEYS } from './json-elements';
import { type Line, LineSplitter, MAX_LINE_BYTES } from './lines';
import { parquetBatches } from './parquet';
import { PeekableStream, type ReadOptions } from './peek';
import { sniff } from './sniff';

export type DataFormat = 'JSONL' | 'JSON' | 'CSV' | 'TSV' | 'Parquet';

/** One record of a file, not yet looked into; or why it cannot be read. */
export type RawRecord = { line: number; value: unknown } | { line: number; problem: RowProblem };

export interface Records {
  format: DataFormat;
  compressed: boolean;
  /** What `line` counts. */
  unit: 'line' | 'row';
  batches: AsyncIterable<RawRecord[]>;
}

export interface RecordOptions extends ReadOptions {
  /** The file's name; its ending helps where the content leaves doubt. */
  name: string;
}

/** Bytes looked at to tell the format. */
const HEAD = 1024 * 1024;

const MEGABYTE = 1024 * 1024;

function problem(line: number, reason: RowProblem['reason'], message: string): RawRecord {
  return { line, problem: { line, reason, message } };
}

function tooLong(line: number, limit: number): RawRecord {
  return problem(line, 'line-too-long', `This is longer than ${limit / MEGABYTE} MB, more than one preference can be.`);
}

function notText(line: number): RawRecord {
  return problem(line, 'not-text', 'This is not UTF-8 text. Save the file as UTF-8.');
}

/** V8 quotes the text in its messages; the beginning is enough. */
function parseProblem(line: number, error: unknown): RawRecord {
  const detail = String((error as Error).message).slice(0, 160);
  return problem(line, 'not-json', `This is not valid JSON: ${detail}`);
}

function lineRecord(entry: Line): RawRecord {
  const { line, text } = entry;
  if (text === null) return entry.problem === 'line-too-long' ? tooLong(line, MAX_LINE_BYTES) : notText(line);
  try {
    return { line, value: JSON.parse(text) as unknown };
  } catch (error) {
    return parseProblem(line, error);
  }
}

async function* jsonLines(source: PeekableStream): AsyncGenerator<RawRecord[]> {
  const splitter = new LineSplitter();
  for await (const chunk of source.chunks()) yield splitter.push(chunk).map(lineRecord);
  yield splitter.end().map(lineRecord);
}

async function* jsonDocument(source: PeekableStream): AsyncGenerator<RawRecord[]> {
  const elements = new JsonElements();
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let row = 0;
  const read = (element: ReturnType<JsonElements['push']>[number]): RawRecord => {
    row += 1;
    if (!element.bytes) {
      if (element.problem === 'line-too-long') return tooLong(row, MAX_ELEMENT_BYTES);
      return problem(row, 'not-json', 'The file ends, or a quote or bracket is missing, inside this row.');
    }
    let text: string;
    try {
      text = decoder.decode(element.bytes);
    } catch {
      return notText(row);
    }
    try {
      return { line: row, value: unwrap(JSON.parse(text) as unknown) };
    } catch (error) {
      return parseProblem(row, error);
    }
  };
  let first = true;
  for await (const chunk of source.chunks()) {
    yield elements.push(first ? withoutMark(chunk) : chunk).map(read);
    first = false;
  }
  yield elements.end().map(read);
}

/** Hugging Face's dataset viewer wraps each row. */
function unwrap(value: unknown): unknown {
  if (value !== null && typeof value === 'object' && 'row_idx' in value && 'row' in value) return value.row;
  return value;
}

function withoutMark(chunk: Uint8Array): Uint8Array {
  return chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf ? chunk.subarray(3) : chunk;
}

async function* separated(source: PeekableStream, separator: ',' | '\t' | ';'): AsyncGenerator<RawRecord[]> {
  const splitter = new CsvSplitter(separator);
  // Not fatal: a record with damaged bytes is found by its replacement characters, the rest stays readable.
  const decoder = new TextDecoder('utf-8');
  let names: string[] | null = null;
  const read = (entry: ReturnType<CsvSplitter['push']>[number]): RawRecord[] => {
    if (!names) {
      names = entry.fields.map((name) => name.trim());
      return [];
    }
    const { line, fields } = entry;
    if (entry.broken) return [problem(line, 'not-json', 'A quoted field that begins here is never closed.')];
    if (fields.length > names.length) {
      return [
        problem(line, 'wrong-type', `This has ${fields.length} columns and the first line names ${names.length}.`),
      ];
    }
    if (fields.some((field) => field.includes('\ufffd'))) return [notText(line)];
    const value: Record<string, unknown> = {};
    names.forEach((name, i) => {
      if (fields[i] !== undefined) value[name] = fields[i];
    });
    return [{ line, value }];
  };
  for await (const chunk of source.chunks()) yield splitter.push(decoder.decode(chunk, { stream: true })).flatMap(read);
  yield splitter.push(decoder.decode()).flatMap(read);
  yield splitter.end().flatMap(read);
}

/** The value of a text, undefined when it is not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** True for an object that holds a file's rows, rather than being one. */
function holdsRows(value: unknown): boolean {
  if (value === null || typeof value !== 'object' || 'chosen' in value) return false;
  return ROW_KEYS.some((key) => {
    const rows = (value as Record<string, unknown>)[key];
    return Array.isArray(rows) && rows[0] !== null && typeof rows[0] === 'object';
  });
}

/** Lines of JSON, one JSON document, or a table: by content first, then by the name's ending. */
function textFormat(head: string, name: string): { format: DataFormat; separator: ',' | '\t' | ';' } {
  const ending = /\.([a-z0-9]+)(\.gz)?$/i.exec(name)?.[1].toLowerCase() ?? '';
  const start = head.trimStart();
  const newline = start.indexOf('\n');
  const line = (newline < 0 ? start : start.slice(0, newline)).trimEnd();
  const separator = line.includes('\t') ? '\t' : line.includes(',') || !line.includes(';') ? ',' : ';';
  if (ending === 'csv') return { format: 'CSV', separator: line.includes(',') ? ',' : separator };
  if (ending === 'tsv') return { format: 'TSV', separator: '\t' };
  if (start.startsWith('[')) {
    // A line that holds a whole array is a bad row of JSON lines only where more lines follow and it holds no object.
    const more = start.length > line.length + 1 && !line.includes('{');
    const lines = more && ['jsonl', 'ndjson'].includes(ending) && parsed(line) !== undefined;
    return { format: lines ? 'JSONL' : 'JSON', separator };
  }
  if (start.startsWith('{')) {
    const first = parsed(line);
    const document = first === undefined ? !['jsonl', 'ndjson'].includes(ending) : holdsRows(first);
    return { format: document ? 'JSON' : 'JSONL', separator };
  }
  const columns = line.split(separator).map((column) => column.trim().replace(/^"|"$/g, '').toLowerCase());
  if (columns.length >= 2 && columns.includes('chosen') && columns.includes('rejected')) {
    return { format: separator === '\t' ? 'TSV' : 'CSV', separator };
  }
  return { format: 'JSONL', separator };
}

/** What is read: a stream, or a file that can be read by ranges (as Parquet needs). */
export type DataInput = ReadableStream<Uint8Array> | ByteSource;

/** Bytes per read of a file. */
const PIECE = 1024 * 1024;

/** A file from its beginning to its end. */
function streamOf(source: ByteSource): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    async pull(controller) {
      if (at < source.size) {
        const bytes = await source.read(at, Math.min(source.size, at + PIECE));
        at += bytes.length;
        controller.enqueue(bytes);
      }
      if (at >= source.size) controller.close();
    },
  });
}

/** A stream held in memory, for formats that are read from their end. */
async function gather(source: PeekableStream): Promise<ByteSource> {
  const bytes = new Uint8Array(await new Response(source.stream()).arrayBuffer());
  return { size: bytes.length, read: async (begin, end) => bytes.slice(begin, end) };
}

function parquetRecords(source: ByteSource, options: RecordOptions): Records {
  const batches = readableBatches(parquetBatches(source, options));
  return { format: 'Parquet', compressed: false, unit: 'row', batches };
}

/**
 * Opens a file for reading.
 *
 * @throws DataError `empty-file`, `not-text`, `bad-format`, `cancelled`. The batches may throw `bad-format` and
 *   `cancelled` as well.
 */
export async function openRecords(input: DataInput, options: RecordOptions): Promise<Records> {
  const file = 'read' in input ? input : null;
  let source = new PeekableStream('read' in input ? streamOf(input) : input, options);
  let head = await readable(() => source.head(HEAD));
  let kind = sniff(head.subarray(0, 65536));
  const compressed = kind.kind === 'gzip';
  if (compressed) {
    source = new PeekableStream(source.stream().pipeThrough(new DecompressionStream('gzip')));
    head = await readable(() => source.head(HEAD));
    kind = sniff(head.subarray(0, 65536));
  }
  if (kind.kind === 'parquet') {
    if (file && !compressed) await source.cancel();
    return parquetRecords(file && !compressed ? file : await readable(() => gather(source)), options);
  }
  if (kind.kind !== 'text') {
    await source.cancel();
    throw new DataError(
      'not-text',
      `${options.name} is ${kind.what}${kind.what === 'binary' ? ', not text' : ''}. Choose a JSONL, JSON, CSV, TSV (saved as UTF-8) or Parquet file.`,
    );
  }
  const text = new TextDecoder('utf-8').decode(head);
  if (text.trim() === '') {
    let rest = 0;
    for await (const chunk of source.chunks()) if (chunk.some((byte) => byte > 0x20)) rest += 1;
    if (rest === 0) throw new DataError('empty-file', `${options.name} is empty. Choose a file with preference rows.`);
    throw new DataError('bad-format', `${options.name} begins with more than 1 MB of blank space.`);
  }
  const { format, separator } = textFormat(text, options.name);
  const batches =
    format === 'JSONL' ? jsonLines(source) : format === 'JSON' ? jsonDocument(source) : separated(source, separator);
  return { format, compressed, unit: format === 'JSON' ? 'row' : 'line', batches: readableBatches(batches) };
}

async function readable<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError('bad-format', `The file cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

async function* readableBatches(batches: AsyncGenerator<RawRecord[]>): AsyncGenerator<RawRecord[]> {
  try {
    for (;;) {
      const { done, value } = await readable(() => batches.next());
      if (done) return;
      yield value;
    }
  } finally {
    await batches.return(undefined);
  }
}
