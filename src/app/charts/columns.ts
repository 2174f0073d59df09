/**
 * One number of every record as an array, and its moving average, both grown step by step: an update costs what is
 * new, not the whole run again.
 */
import { Smoother } from '../lib/series';

export class Column<T> {
  readonly values: number[] = [];
  readonly #of: (record: T) => number;
  #smoother = new Smoother(0);
  #smoothed: number[] = [];
  #first: T | undefined;

  constructor(of: (record: T) => number) {
    this.#of = of;
  }

  /** Takes in what `records` has gained. Another first record means another run: everything begins anew. */
  update(records: readonly T[]): void {
    if (records[0] !== this.#first || records.length < this.values.length) {
      this.values.length = 0;
      this.#first = records[0];
      this.#restart(this.#smoother.weight);
    }
    for (let i = this.values.length; i < records.length; i++) this.values.push(this.#of(records[i]));
  }

  /** The moving average of all values so far; the array is reused by the next call. */
  smoothed(weight: number): readonly number[] {
    if (weight <= 0) return this.values;
    if (weight !== this.#smoother.weight) this.#restart(weight);
    for (let i = this.#smoothed.length; i < this.values.length; i++) {
      this.#smoothed.push(this.#smoother.next(this.values[i]));
    }
    return this.#smoothed;
  }

  #restart(weight: number): void {
    this.#smoother = new Smoother(weight);
    this.#smoothed = [];
  }
}
