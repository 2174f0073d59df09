/** Rows that are there twice. */
import { promptKey } from './split';
import type { SourceRow } from './types';

export interface Duplicates {
  /** Indices of rows that repeat an earlier one word for word. */
  repeated: number[];
  /** Indices of rows whose answers are an earlier row's in reverse: the two contradict each other. */
  reversed: number[];
  /** Prompts that more than one row asks, and the rows that do. */
  repeatedPrompts: number;
  rowsOfRepeatedPrompts: number;
}

const SEPARATOR = '\u0000';

/** 53 bits of a text's content (cyrb53 by bryc, public domain). Texts with the same hash are compared in full. */
function hash(text: string): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    a = Math.imul(a ^ c, 2654435761);
    b = Math.imul(b ^ c, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 4294967296 * (2097151 & b) + (a >>> 0);
}

/** A number that tells rows apart: equal for equal rows, different for others but with a chance of 2^-53 per pair. */
export function rowHash(row: SourceRow): number {
  return hash([promptKey(row), row.chosen, row.rejected].join(SEPARATOR));
}

/** Looks rows up by their text without keeping copies of it. */
class Seen {
  readonly #byHash = new Map<number, number | number[]>();
  readonly #same: (a: number, b: number) => boolean;

  constructor(same: (a: number, b: number) => boolean) {
    this.#same = same;
  }

  /** The earlier row with this text, or -1. */
  find(text: string, index: number): number {
    const found = this.#byHash.get(hash(text));
    const list = found === undefined ? [] : typeof found === 'number' ? [found] : found;
    return list.find((other) => this.#same(other, index)) ?? -1;
  }

  add(text: string, index: number): void {
    const key = hash(text);
    const found = this.#byHash.get(key);
    if (found === undefined) this.#byHash.set(key, index);
    else this.#byHash.set(key, [...(typeof found === 'number' ? [found] : found), index]);
  }
}

const keys = (row: SourceRow) => [promptKey(row), row.chosen, row.rejected] as const;

/** Finds repeated rows, contradictions and repeated prompts, row by row, so that a caller may pause in between. */
export class DuplicateSearch {
  readonly #rows: readonly SourceRow[];
  readonly #seen: Seen;
  readonly #mirrored: Seen;
  readonly #byPrompt = new Map<number, number>();
  readonly #repeated: number[] = [];
  readonly #reversed: number[] = [];

  constructor(rows: readonly SourceRow[]) {
    this.#rows = rows;
    const pair = (a: number, b: number) => [keys(rows[a]), keys(rows[b])];
    this.#seen = new Seen((a, b) => {
      const [x, y] = pair(a, b);
      return x[0] === y[0] && x[1] === y[1] && x[2] === y[2];
    });
    this.#mirrored = new Seen((a, b) => {
      const [x, y] = pair(a, b);
      return x[0] === y[0] && x[1] === y[2] && x[2] === y[1];
    });
  }

  /** Looks at row `i`; rows come in order. */
  look(i: number): void {
    const [prompt, chosen, rejected] = keys(this.#rows[i]);
    const text = [prompt, chosen, rejected].join(SEPARATOR);
    if (this.#seen.find(text, i) >= 0) this.#repeated.push(i);
    else {
      if (this.#mirrored.find(text, i) >= 0) this.#reversed.push(i);
      this.#seen.add(text, i);
      this.#mirrored.add([prompt, rejected, chosen].join(SEPARATOR), i);
    }
    const key = hash(prompt);
    this.#byPrompt.set(key, (this.#byPrompt.get(key) ?? 0) + 1);
  }

  get result(): Duplicates {
    const shared = [...this.#byPrompt.values()].filter((count) => count > 1);
    return {
      repeated: this.#repeated,
      reversed: this.#reversed,
      repeatedPrompts: shared.length,
      rowsOfRepeatedPrompts: shared.reduce((sum, count) => sum + count, 0),
    };
  }
}

export function findDuplicates(rows: readonly SourceRow[]): Duplicates {
  const search = new DuplicateSearch(rows);
  for (let i = 0; i < rows.length; i++) search.look(i);
  return search.result;
}

/** The rows without those at these indices. */
export function withoutRows<Row>(rows: readonly Row[], indices: readonly number[]): Row[] {
  const gone = new Set(indices);
  return rows.filter((_, i) => !gone.has(i));
}
