/** A place for one file at a time on its way to somewhere else, outside memory. */
import { ExportError } from './errors';

export interface SpoolFile {
  write(bytes: Uint8Array): Promise<void>;
  /** All that was written. It is readable until `discard`. */
  finish(): Promise<Blob>;
  discard(): Promise<void>;
}

export type Spool = () => Promise<SpoolFile>;

const FOLDER = 'upload-spool';
/** What a closed tab left behind is removed when it is older than any upload would be. */
const STALE_MS = 24 * 60 * 60_000;

/** In the page's private file system. Throws {@link ExportError} `export-no-room`. */
export const opfsSpool: Spool = async () => {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle(FOLDER, { create: true });
  for await (const old of folder.keys()) {
    if (Date.now() - Number(old.split('-')[0]) > STALE_MS) await folder.removeEntry(old).catch(() => undefined);
  }
  const name = `${Date.now()}-${crypto.randomUUID()}`;
  const handle = await folder.getFileHandle(name, { create: true });
  const writable = await handle.createWritable();
  return {
    write: (bytes) => writable.write(bytes as Uint8Array<ArrayBuffer>).catch(noRoom),
    async finish() {
      await writable.close().catch(noRoom);
      return handle.getFile();
    },
    async discard() {
      await writable.abort().catch(() => undefined); // it may be closed
      await folder.removeEntry(name).catch(() => undefined);
    },
  };
};

function noRoom(cause: unknown): never {
  if ((cause as Error)?.name !== 'QuotaExceededError') throw cause;
  throw new ExportError(
    'export-no-room',
    'The browser has no room to keep a file of weights on its way to the Hub. Choose smaller files, or free space: delete stored models that you no longer need.',
    { cause },
  );
}
