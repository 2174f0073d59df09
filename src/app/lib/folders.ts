/** Folders of the visitor's disk: picked or dropped, and those that were opened before (IndexedDB keeps their handles). */
import { createStore, get, set } from 'idb-keyval';
import type { ModelSource } from '../../worker/protocol';

type FolderSource = Extract<ModelSource, { kind: 'folder' | 'files' }>;

interface Permissions {
  queryPermission?(options: { mode: 'read' }): Promise<PermissionState>;
  requestPermission?(options: { mode: 'read' }): Promise<PermissionState>;
}

interface WithPicker {
  showDirectoryPicker?(options?: { id?: string; mode?: 'read' }): Promise<FileSystemDirectoryHandle>;
}

const KEY = 'model-folders';
/** As many are remembered. */
const MOST = 8;

const store = () => createStore('orpo-studio-folders', 'folders');

export const canPickFolder = (): boolean => typeof (window as WithPicker).showDirectoryPicker === 'function';

/** A folder of the visitor's choice, or null when they think better of it. */
export async function pickFolder(): Promise<FolderSource | null> {
  try {
    const handle = await (window as WithPicker).showDirectoryPicker?.({ id: 'orpo-model', mode: 'read' });
    return handle ? { kind: 'folder', handle } : null;
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') return null;
    throw cause;
  }
}

/** The files of a directory input, as a source. */
export function listedFolder(files: readonly File[]): FolderSource {
  return { kind: 'files', name: files[0]?.webkitRelativePath.split('/')[0] || 'folder', files: [...files] };
}

/** Asks for the permission to read a folder again; needs a click. The answer tells whether it may be read. */
export async function mayRead(handle: FileSystemDirectoryHandle): Promise<boolean> {
  const permissions = handle as FileSystemDirectoryHandle & Permissions;
  if ((await permissions.queryPermission?.({ mode: 'read' })) === 'granted') return true;
  return ((await permissions.requestPermission?.({ mode: 'read' })) ?? 'granted') === 'granted';
}

/** Folders that were opened before, the latest first. A browser that keeps nothing only forgets. */
export async function knownFolders(): Promise<FileSystemDirectoryHandle[]> {
  return (await get<FileSystemDirectoryHandle[]>(KEY, store()).catch(() => undefined)) ?? [];
}

async function others(handle: FileSystemDirectoryHandle): Promise<FileSystemDirectoryHandle[]> {
  const known = await knownFolders();
  const same = await Promise.all(known.map((other) => other.isSameEntry(handle).catch(() => false)));
  return known.filter((_, i) => !same[i]);
}

export async function rememberFolder(handle: FileSystemDirectoryHandle): Promise<void> {
  await set(KEY, [handle, ...(await others(handle))].slice(0, MOST), store()).catch(() => undefined);
}

export async function forgetFolder(handle: FileSystemDirectoryHandle): Promise<void> {
  await set(KEY, await others(handle), store()).catch(() => undefined);
}

interface DroppedItem extends DataTransferItem {
  getAsFileSystemHandle?(): Promise<FileSystemHandle | null>;
}

/**
 * The folder among what was dropped, or null when there is none. Must be called while the drop is handled: the browser
 * takes the items away afterwards.
 */
export function droppedFolder(items: DataTransferItemList): Promise<FolderSource | null> | null {
  for (const item of items as unknown as Iterable<DroppedItem>) {
    const entry = item.webkitGetAsEntry?.();
    if (!entry?.isDirectory) continue;
    const handle = item.getAsFileSystemHandle?.();
    if (!handle) return filesOfEntry(entry as FileSystemDirectoryEntry);
    return handle.then((found) =>
      found?.kind === 'directory' ? { kind: 'folder', handle: found as FileSystemDirectoryHandle } : null,
    );
  }
  return null;
}

async function filesOfEntry(folder: FileSystemDirectoryEntry): Promise<FolderSource> {
  const reader = folder.createReader();
  const files: File[] = [];
  for (;;) {
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return { kind: 'files', name: folder.name, files };
    for (const entry of entries) {
      if (!entry.isFile) continue;
      files.push(await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)));
    }
  }
}
