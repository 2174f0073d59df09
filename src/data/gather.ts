/** Rows and problems of a file, gathered while it is read. */
import { RowError } from './errors';
import { MersenneTwister } from './random';
import type { RawRecord } from './read/records';
import type { Schema } from './schema/detect';
import { isFields, typeName } from './schema/fields';
import type { RowProblem, SourceRow } from './types';

/** Problems kept with their messages; all are counted. */
export const MAX_PROBLEMS = 200;

export interface GatherOptions {
  /** Takes each usable row instead of keeping it, so that a file of any size needs little memory. */
  onRow?: (row: SourceRow) => void;
  /** Keep this many rows, drawn evenly from the whole file. */
  sample?: { count: number; seed: number };
}

export class Gathered {
  readonly rows: SourceRow[] = [];
  readonly problems: RowProblem[] = [];
  readonly counts = new Map<RowProblem['reason'], number>();
  usable = 0;
  bad = 0;
  readonly #sample: GatherOptions['sample'];
  readonly #onRow: GatherOptions['onRow'];
  readonly #random: MersenneTwister | null;

  constructor({ sample, onRow }: GatherOptions) {
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

/** Reads a record into a row or a problem. */
export function readRecord(record: RawRecord, schema: Schema, gathered: Gathered): void {
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
