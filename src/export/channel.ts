/**
 * Hands values from one writer to one reader. A push resolves when its value has been taken, so the writer goes no faster
 * than the reader; a failure reaches whoever waits. (A TransformStream cannot be aborted while a write waits for its reader.)
 */
export class Channel<T> implements AsyncIterableIterator<T, undefined> {
  #offered: { value: T; taken: () => void; failed: (reason: unknown) => void } | null = null;
  #asked: { give: (result: IteratorResult<T, undefined>) => void; failed: (reason: unknown) => void } | null = null;
  #end: 'closed' | { reason: unknown } | null = null;

  [Symbol.asyncIterator](): this {
    return this;
  }

  push(value: T): Promise<void> {
    if (this.#end) return Promise.reject(this.#end === 'closed' ? new Error('push after close') : this.#end.reason);
    if (this.#asked) {
      this.#asked.give({ done: false, value });
      this.#asked = null;
      return Promise.resolve();
    }
    return new Promise((taken, failed) => {
      this.#offered = { value, taken, failed };
    });
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#offered) {
      const { value, taken } = this.#offered;
      this.#offered = null;
      taken();
      return Promise.resolve({ done: false, value });
    }
    if (this.#end === 'closed') return Promise.resolve({ done: true, value: undefined });
    if (this.#end) return Promise.reject(this.#end.reason);
    return new Promise((give, failed) => {
      this.#asked = { give, failed };
    });
  }

  /** No more values; only when the last push has resolved. */
  close(): void {
    this.#end ??= 'closed';
    this.#asked?.give({ done: true, value: undefined });
    this.#asked = null;
  }

  /** Ends it with an error for both sides. */
  fail(reason: unknown): void {
    if (this.#end) return;
    this.#end = { reason };
    this.#offered?.failed(reason);
    this.#asked?.failed(reason);
    this.#offered = null;
    this.#asked = null;
  }
}
