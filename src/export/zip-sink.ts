import { makeZip } from 'client-zip';
import { Channel } from './channel';
import type { OutputFile, OutputSink } from './sink';

/**
 * One zip, uncompressed (weights do not compress), as a stream that is made while it is read: writing waits for the reader.
 * When the export fails the stream fails, and when the reader cancels the export fails.
 */
export class ZipSink implements OutputSink {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #folder: string;
  readonly #entries = new Channel<{ name: string; input: AsyncIterable<Uint8Array> }>();
  #file: Channel<Uint8Array> | null = null;

  /** All files lie in `folder` within the zip. */
  constructor(folder: string) {
    this.#folder = folder;
    const zip = makeZip(
      this.#entries as AsyncIterable<{ name: string; input: AsyncIterable<ArrayBufferView> }>,
    ).getReader();
    this.stream = new ReadableStream({
      pull: async (controller) => {
        const { done, value } = await zip.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: async (reason: unknown) => {
        await this.abort(reason ?? new DOMException('The download was cancelled.', 'AbortError'));
      },
    });
  }

  async open(name: string): Promise<OutputFile> {
    const file = new Channel<Uint8Array>();
    this.#file = file;
    // Taken by the zip when it has written the files before.
    await this.#entries.push({ name: `${this.#folder}/${name}`, input: file });
    return {
      write: (bytes) => file.push(bytes.slice()),
      close: async () => {
        file.close();
        this.#file = null;
      },
    };
  }

  async close(): Promise<void> {
    this.#entries.close();
  }

  async abort(reason: unknown): Promise<void> {
    this.#file?.fail(reason);
    this.#entries.fail(reason);
  }
}
