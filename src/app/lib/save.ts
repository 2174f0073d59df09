/** Getting bytes out of the page: into a chosen folder, or as a download. */

interface WithPicker {
  showDirectoryPicker?(options?: { id?: string; mode?: 'readwrite' }): Promise<FileSystemDirectoryHandle>;
}

export const canPickDirectory = (): boolean => typeof (window as WithPicker).showDirectoryPicker === 'function';

/** A folder of the visitor's choice, or null when they think better of it. */
export async function pickDirectory(): Promise<FileSystemDirectoryHandle | null> {
  try {
    return (await (window as WithPicker).showDirectoryPicker?.({ id: 'orpo-export', mode: 'readwrite' })) ?? null;
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') return null;
    throw cause;
  }
}

function clickDownload(content: Blob, name: string): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // The browser reads the address a little later; a minute is far more than it needs to begin.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export const saveBlob = (blob: Blob, name: string): void => clickDownload(blob, name);

export const saveText = (text: string, name: string, mimeType: string): void =>
  clickDownload(new Blob([text], { type: mimeType }), name);

const SPOOL = 'export-spool';

/** The browser has no room for a download on its way. */
export class NoRoomError extends Error {
  override readonly name = 'NoRoomError';
  readonly code = 'export-no-room';
  constructor(options?: ErrorOptions) {
    super(
      'The browser has no room for a zip of this size; nothing of it is left. Save to a folder, which needs no room in the browser, or delete stored models that you no longer need.',
      options,
    );
  }
}

/**
 * Saves a stream as a download. It goes through a file in the page's private file system, so that a model of many
 * gigabytes never has to fit in memory; where there is none, through a Blob. Answers how many bytes were saved.
 */
export async function saveStream(download: {
  name: string;
  mimeType: string;
  stream: ReadableStream<Uint8Array>;
}): Promise<number> {
  const { name, mimeType, stream } = download;
  const spool = await openSpool();
  if (!spool) {
    const blob = await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).blob();
    clickDownload(new Blob([blob], { type: mimeType }), name);
    return blob.size;
  }
  try {
    await (stream as ReadableStream<Uint8Array<ArrayBuffer>>).pipeTo(await spool.createWritable());
  } catch (cause) {
    if ((cause as Error)?.name === 'QuotaExceededError') throw new NoRoomError({ cause });
    throw cause;
  }
  const file = await spool.getFile();
  clickDownload(new File([file], name, { type: mimeType }), name);
  return file.size;
}

async function openSpool(): Promise<FileSystemFileHandle | null> {
  try {
    const root = await navigator.storage.getDirectory();
    await clearSpool(root);
    const folder = await root.getDirectoryHandle(SPOOL, { create: true });
    return await folder.getFileHandle(`${Date.now()}`, { create: true });
  } catch {
    return null;
  }
}

/** Removes what earlier exports left; one that is still being read by the browser stays until the next time. */
export async function clearSpool(root?: FileSystemDirectoryHandle): Promise<void> {
  try {
    const top = root ?? (await navigator.storage.getDirectory());
    await top.removeEntry(SPOOL, { recursive: true });
  } catch {
    // Nothing there, or still in use.
  }
}
