import { makeZip } from 'client-zip';
import type { OutputFile, OutputSink } from './sink';

interface Entry {
  name: string;
  input: ReadableStream<Uint8Array>;
}

/**
 * One zip, uncompressed (weights do not compress), as a stream that is made while it is read: writing waits for the reader.
 * When the export fails the stream fails, and when the reader cancels the export fails.
 */
export class ZipSink implements OutputSink {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #folder: string;
  readonly #entries: WritableStreamDefaultWriter<Entry>;
  #file: WritableStreamDefaultWriter<Uint8Array> | null = null;

  /** All files lie in `folder` within the zip. */
  constructor(folder: string) {
    this.#folder = folder;
    const entries = new TransformStream<Entry, Entry>();
    this.#entries = entries.writable.getWriter();
    this.#entries.closed.catch(() => undefined);
    const zip = makeZip(iterate(entries.readable)).getReader();
    this.stream = new ReadableStream({
      pull: async (controller) => {
        const { done, value } = await zip.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: async (reason: unknown) => {
        await this.abort(reason ?? new DOMException('The download was cancelled.', 'AbortError'));
        await zip.cancel(reason).catch(() => undefined);
      },
    });
  }

  async open(name: string): Promise<OutputFile> {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    writer.closed.catch(() => undefined);
    this.#file = writer;
    // Taken by the zip when it has written the files before.
    await this.#entries.write({ name: `${this.#folder}/${name}`, input: readable });
    return {
      write: (bytes) => writer.write(bytes.slice()),
      close: async () => {
        await writer.close();
        this.#file = null;
      },
    };
  }

  close(): Promise<void> {
    return this.#entries.close();
  }

  async abort(reason: unknown): Promise<void> {
    await Promise.allSettled([this.#file?.abort(reason), this.#entries.abort(reason)]);
  }
}

async function* iterate<T>(stream: ReadableStream<T>): AsyncGenerator<T> {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
