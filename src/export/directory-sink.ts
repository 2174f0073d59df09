import { ExportError } from './errors';
import type { OutputFile, OutputSink } from './sink';

/** What the browser says of a folder that it cannot write to, as what to do. */
function folderError(cause: unknown): unknown {
  const { name, message } = cause as Error;
  if (name === 'QuotaExceededError') {
    return new ExportError(
      'export-no-room',
      'The disk of this folder is full. Nothing of the export is left in it. Free space there, or choose a folder on another disk, a smaller number format or GGUF in Q8_0.',
      { cause },
    );
  }
  if (name === 'NotAllowedError' || name === 'SecurityError') {
    return new ExportError(
      'export-folder-revoked',
      'The browser no longer lets this page write to that folder. Choose the folder again and allow changes. Files that were begun may still lie in it; a model without config.json is not whole.',
      { cause },
    );
  }
  if (name === 'NotFoundError' || name === 'NoModificationAllowedError' || name === 'InvalidStateError') {
    return new ExportError(
      'export-folder-failed',
      `The folder, or a file in it, was moved, removed or is used by another program (${message}). Choose a folder again and start the export anew.`,
      { cause },
    );
  }
  return cause;
}

const named = <T>(work: Promise<T>): Promise<T> =>
  work.catch((cause: unknown) => {
    throw folderError(cause);
  });

/**
 * Writes into a folder that the visitor chose. The browser writes each file aside and puts it in place when it is closed, so
 * an export that fails leaves a file of the same name as it was; files that were not there before are removed again.
 */
export class DirectorySink implements OutputSink {
  readonly #folder: FileSystemDirectoryHandle;
  readonly #created: string[] = [];
  #open: FileSystemWritableFileStream | null = null;

  /** A sink for a new folder in `parent`, called `name` or, where that is taken, `name-2` and so on. */
  static async inNewFolder(
    parent: FileSystemDirectoryHandle,
    name: string,
  ): Promise<{ sink: OutputSink; folder: string }> {
    for (let n = 1; ; n++) {
      const folder = n === 1 ? name : `${name}-${n}`;
      if (await named(exists(parent, folder))) continue;
      const inner = new DirectorySink(await named(parent.getDirectoryHandle(folder, { create: true })));
      const sink: OutputSink = {
        open: (file) => inner.open(file),
        close: () => inner.close(),
        abort: async (reason) => {
          await inner.abort(reason);
          await parent.removeEntry(folder).catch(() => undefined); // not when something else was put there
        },
      };
      return { sink, folder };
    }
  }

  constructor(folder: FileSystemDirectoryHandle) {
    this.#folder = folder;
  }

  async open(name: string): Promise<OutputFile> {
    if (!(await named(exists(this.#folder, name)))) this.#created.push(name);
    const handle = await named(this.#folder.getFileHandle(name, { create: true }));
    const writable = await named(handle.createWritable());
    this.#open = writable;
    return {
      write: (bytes) => named(writable.write(bytes as Uint8Array<ArrayBuffer>)),
      close: async () => {
        await named(writable.close());
        this.#open = null;
      },
    };
  }

  async close(): Promise<void> {
    this.#created.length = 0;
  }

  async abort(reason: unknown): Promise<void> {
    await this.#open?.abort(reason).catch(() => undefined);
    for (const name of this.#created) await this.#folder.removeEntry(name).catch(() => undefined);
  }
}

async function exists(folder: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  try {
    await folder.getFileHandle(name);
    return true;
  } catch (error) {
    if ((error as Error).name === 'NotFoundError') return false;
    if ((error as Error).name === 'TypeMismatchError') return true; // a folder
    throw error;
  }
}
