/** A byte stream whose beginning can be looked at before it is read. Counts what has passed, for progress. */
import { DataError } from '../errors';

export interface ReadOptions {
  onProgress?: (bytes: number) => void;
  signal?: AbortSignal;
}

export class PeekableStream {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #options: ReadOptions;
  #waiting: Uint8Array[] = [];
  #ended = false;
  #bytes = 0;

  constructor(stream: ReadableStream<Uint8Array>, options: ReadOptions = {}) {
    this.#reader = stream.getReader();
    this.#options = options;
  }

  async #pull(): Promise<Uint8Array | null> {
    if (this.#options.signal?.aborted) {
      await this.cancel();
      throw new DataError('cancelled', 'Reading the file was cancelled.');
    }
    const { done, value } = await this.#reader.read();
    if (done) {
      this.#ended = true;
      return null;
    }
    this.#bytes += value.length;
    this.#options.onProgress?.(this.#bytes);
    return value;
  }

  /** The first bytes: up to a newline after some text, else up to `limit` or the end. */
  async head(limit: number): Promise<Uint8Array> {
    let length = 0;
    for (const chunk of this.#waiting) length += chunk.length;
    let complete = this.#waiting.some(endsLine);
    while (!complete && length < limit && !this.#ended) {
      const chunk = await this.#pull();
      if (!chunk) break;
      this.#waiting.push(chunk);
      length += chunk.length;
      complete = endsLine(chunk);
    }
    const all = new Uint8Array(length);
    let at = 0;
    for (const chunk of this.#waiting) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }

  /** All chunks from the beginning. */
  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (let chunk = this.#waiting.shift(); chunk; chunk = this.#waiting.shift()) yield chunk;
      while (!this.#ended) {
        const chunk = await this.#pull();
        if (chunk) yield chunk;
      }
    } finally {
      // Whoever stops early wants no more of the file.
      if (!this.#ended) await this.cancel();
    }
  }

  /** The rest as a stream, e.g. to decompress it. */
  stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const chunks = this.chunks();
    return new ReadableStream({
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(value as Uint8Array<ArrayBuffer>);
      },
      cancel: () => this.cancel(),
    });
  }

  async cancel(): Promise<void> {
    this.#ended = true;
    this.#waiting = [];
    await this.#reader.cancel().catch(() => undefined);
  }
}

/** A newline that comes after something other than white space. */
function endsLine(chunk: Uint8Array): boolean {
  const text = chunk.findIndex((byte) => byte > 0x20);
  return text >= 0 && chunk.indexOf(10, text) >= 0;
}
