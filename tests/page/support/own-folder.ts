/** A folder of the page's private file system in place of the dialog, which no test can answer. The handle is a real one. */
import type { Page } from 'playwright-core';

/** For an init script: the visitor "chooses" the folder `chosen`. */
export function chooseOwnFolder(): void {
  Object.assign(window, {
    showDirectoryPicker: async () =>
      (await navigator.storage.getDirectory()).getDirectoryHandle('chosen', { create: true }),
  });
}

/** SHA-256 of everything in that folder, by path. */
export const readFolder = (page: Page, name: string): Promise<Record<string, string>> =>
  page.evaluate(async (name) => {
    const found: Record<string, string> = {};
    async function walk(folder: FileSystemDirectoryHandle, path: string): Promise<void> {
      for await (const handle of folder.values()) {
        if (handle.kind === 'directory') await walk(handle as FileSystemDirectoryHandle, `${path}${handle.name}/`);
        else {
          const file = await (handle as FileSystemFileHandle).getFile();
          const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));
          found[path + handle.name] = [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('');
        }
      }
    }
    await walk(await (await navigator.storage.getDirectory()).getDirectoryHandle(name), '');
    return found;
  }, name);
