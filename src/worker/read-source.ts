/** All parts of a source read as one set, in the amount that was asked for. */
import { DataError } from '../data/errors';
import { mergeParsed, type ParsedData, type Preview, parsePreferenceData } from '../data/parse';
import { MersenneTwister } from '../data/random';
import { type DataInput, openRecords } from '../data/read/records';
import { SAMPLE } from '../data/schema/detect';
import { isFields } from '../data/schema/fields';
import { isMessageList } from '../data/schema/messages';
import type { SourceRow } from '../data/types';
import type { SourcePart } from './data-source';
import type { PairColumns, ReadAmount } from './protocol';
import { Pause } from './shared-job';

export interface ReadOptions {
  amount: ReadAmount;
  columns?: PairColumns;
  signal: AbortSignal;
  onProgress(bytes: number, totalBytes: number): void;
  onPreview?(preview: Preview): void;
}

/** Milliseconds between two words on progress. */
const TELL_MS = 200;

/** Bytes handled at a time. */
const PIECE = 256 * 1024;

/** The same input, but the thread answers messages in between however fast the bytes come. */
function answerable(input: DataInput): DataInput {
  const pause = new Pause();
  if ('read' in input) {
    return {
      size: input.size,
      read: async (begin, end) => {
        if (pause.due) await pause.breathe();
        return input.read(begin, end);
      },
    };
  }
  const reader = input.getReader();
  let rest: Uint8Array = new Uint8Array();
  return new ReadableStream(
    {
      async pull(controller) {
        if (pause.due) await pause.breathe();
        if (rest.length === 0) {
          const { done, value } = await reader.read();
          if (done) return controller.close();
          rest = value;
        }
        controller.enqueue(rest.subarray(0, PIECE));
        rest = rest.subarray(PIECE);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Draws rows evenly over several files (algorithm R), as `parsePreferenceData` does over one. */
class Reservoir {
  readonly rows: SourceRow[] = [];
  readonly #random: MersenneTwister;
  readonly #count: number;
  #seen = 0;

  constructor(count: number, seed: number) {
    this.#count = count;
    this.#random = new MersenneTwister(seed);
  }

  add(row: SourceRow): void {
    this.#seen += 1;
    if (this.rows.length < this.#count) {
      this.rows.push(row);
      return;
    }
    const slot = this.#random.nextU32() % this.#seen;
    if (slot < this.#count) this.rows[slot] = row;
  }
}

/**
 * Reads all parts in turn. A part without usable rows stops the reading, so that no file is passed over unnoticed.
 *
 * @throws DataError as `parsePreferenceData` does
 */
export async function readParts(parts: readonly SourcePart[], options: ReadOptions): Promise<ParsedData> {
  const { amount, columns, signal } = options;
  const totalBytes = parts.reduce((sum, part) => sum + part.size, 0);
  const reservoir = amount.kind === 'sample' && parts.length > 1 ? new Reservoir(amount.rows, amount.seed) : null;
  const read: ParsedData[] = [];
  let before = 0;
  let left = amount.kind === 'first' ? amount.rows : Number.POSITIVE_INFINITY;
  let told = Number.NEGATIVE_INFINITY;
  for (const part of parts) {
    if (left <= 0) break;
    const parsed = await parsePreferenceData(answerable(part.open()), {
      name: part.name,
      size: part.size,
      columns,
      signal,
      limit: Number.isFinite(left) ? left : undefined,
      sample: amount.kind === 'sample' && !reservoir ? { count: amount.rows, seed: amount.seed } : undefined,
      onRow: reservoir ? (row) => reservoir.add(row) : undefined,
      onPreview: read.length === 0 ? options.onPreview : undefined,
      onProgress: (bytes) => {
        if (performance.now() - told < TELL_MS) return;
        told = performance.now();
        options.onProgress(before + Math.min(bytes, part.size), totalBytes);
      },
    });
    read.push(parsed);
    before += part.size;
    left -= parsed.usable;
  }
  options.onProgress(totalBytes, totalBytes);
  const merged = mergeParsed(read);
  const limited = merged.limited || read.length < parts.length;
  return { ...merged, limited, rows: reservoir ? reservoir.rows : merged.rows };
}

/** Names of the fields in the first records, those inside an object with its name and a dot before them. */
export async function fieldNames(part: SourcePart): Promise<string[]> {
  const names = new Set<string>();
  let seen = 0;
  const { batches } = await openRecords(part.open(), { name: part.name });
  for await (const batch of batches) {
    for (const record of batch) {
      if (seen >= SAMPLE) break;
      if (!('value' in record) || !isFields(record.value)) continue;
      seen += 1;
      for (const [key, value] of Object.entries(record.value)) {
        names.add(key);
        if (!isFields(value) || isMessageList([value])) continue;
        for (const inner of Object.keys(value)) names.add(`${key}.${inner}`);
      }
    }
    if (seen >= SAMPLE) break;
  }
  return [...names];
}

/** True when other columns might help. */
export const columnsMayHelp = (error: unknown): boolean =>
  error instanceof DataError && (error.code === 'unknown-schema' || error.code === 'no-usable-rows');
