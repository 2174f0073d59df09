/** Where exported files go. One file is open at a time. */

export interface OutputFile {
  /** Resolves when the sink can take more; the bytes may be reused then. */
  write(bytes: Uint8Array): Promise<void>;
  /** The file is there, under its name, only after this. */
  close(): Promise<void>;
}

export interface OutputSink {
  /** `byteLength` is the whole file's, where it is known. */
  open(name: string, byteLength?: number): Promise<OutputFile>;
  /** Ends a successful export. */
  close(): Promise<void>;
  /** Ends a failed one: the open file and new files are taken back, so that nothing looks complete. */
  abort(reason: unknown): Promise<void>;
}

/** Writes a whole small file. */
export async function writeFile(sink: OutputSink, name: string, content: Uint8Array | string): Promise<number> {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  const file = await sink.open(name, bytes.byteLength);
  await file.write(bytes);
  await file.close();
  return bytes.byteLength;
}

/** Runs an export and ends it: closes the sink when `work` succeeds, aborts it when that fails or the signal fires. */
export async function exportTo<T>(
  sink: OutputSink,
  work: (sink: OutputSink) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const checked: OutputSink = {
    close: () => sink.close(),
    abort: (reason) => sink.abort(reason),
    async open(name, byteLength) {
      signal?.throwIfAborted();
      const file = await sink.open(name, byteLength);
      return {
        write(bytes) {
          signal?.throwIfAborted();
          return file.write(bytes);
        },
        close: () => file.close(),
      };
    },
  };
  try {
    const result = await work(checked);
    signal?.throwIfAborted();
    await sink.close();
    return result;
  } catch (error) {
    await sink.abort(error).catch(() => undefined); // the first error says more
    throw error;
  }
}

/** Keeps files in memory: for small exports and tests. */
export class MemorySink implements OutputSink {
  /** Closed files by name. */
  readonly files = new Map<string, Uint8Array<ArrayBuffer>>();
  state: 'open' | 'closed' | 'aborted' = 'open';

  async open(name: string): Promise<OutputFile> {
    const parts: Uint8Array[] = [];
    return {
      write: async (bytes) => {
        parts.push(bytes.slice());
      },
      close: async () => {
        const file = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
        let at = 0;
        for (const part of parts) {
          file.set(part, at);
          at += part.length;
        }
        this.files.set(name, file);
      },
    };
  }

  async close(): Promise<void> {
    this.state = 'closed';
  }

  async abort(): Promise<void> {
    this.files.clear();
    this.state = 'aborted';
  }
}
