/** One long piece of work whose result several requests may want. */
import { DataError } from '../data/errors';

/** Milliseconds of work between two breaths. */
const SLICE_MS = 25;

/** Lets messages and timers through now and then. `breathe` rejects with `cancelled` once the signal says so. */
export class Pause {
  readonly #signal: AbortSignal | undefined;
  #began = performance.now();

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  get due(): boolean {
    return performance.now() - this.#began >= SLICE_MS;
  }

  async breathe(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (this.#signal?.aborted) throw cancelled();
    this.#began = performance.now();
  }
}

export const cancelled = (): DataError => new DataError('cancelled', 'This was cancelled.');

/**
 * Does work once for each key: who asks for the same key again gets the same promise, finished or not. Asking for
 * another key cancels the work under way.
 */
export class SharedJob<Result> {
  #key: string | null = null;
  #abort = new AbortController();
  #result: Promise<Result> | null = null;
  /** True while the work is under way. */
  #open = false;

  get(key: string, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    if (this.#result && this.#key === key) return this.#result;
    this.clear();
    const abort = new AbortController();
    const result = work(abort.signal);
    this.#key = key;
    this.#abort = abort;
    this.#result = result;
    this.#open = true;
    result.then(
      () => {
        if (this.#result === result) this.#open = false;
      },
      () => {
        // A failure is not kept: the next request tries again.
        if (this.#result === result) this.#result = null;
      },
    );
    return result;
  }

  /** Cancels what is under way; a finished result stays. */
  cancel(): void {
    if (this.#open) this.clear();
  }

  /** Cancels, and forgets the result. */
  clear(): void {
    this.#abort.abort();
    this.#open = false;
    this.#key = null;
    this.#result = null;
  }
}
