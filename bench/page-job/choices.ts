/** What a visitor would choose, made for the page: a folder for exports, a place for models. */
import type { Page } from 'playwright-core';

export type BackendChoice = 'auto' | 'indexeddb' | 'opfs';

/** For an init script: exports go to a private folder, and folders are opened from what was exported there. */
export function choosePrivateFolder(): void {
  Object.assign(window, {
    showDirectoryPicker: async ({ mode }: { mode?: string } = {}) => {
      const chosen = await (await navigator.storage.getDirectory()).getDirectoryHandle('chosen', { create: true });
      if (mode === 'readwrite') return chosen;
      for await (const handle of chosen.values()) if (handle.kind === 'directory') return handle;
      return chosen;
    },
  });
}

/** Has new models stored in this backend, as if it had been measured as the faster one. */
export async function prefer(page: Page, backend: BackendChoice): Promise<void> {
  if (backend === 'auto') return;
  await page.evaluate(
    (chosen) =>
      new Promise<void>((resolve, reject) => {
        const speed = (name: string) => ({
          readBytesPerSecond: name === chosen ? 2e9 : 1e9,
          writeBytesPerSecond: name === chosen ? 2e9 : 1e9,
        });
        const open = indexedDB.open('orpo-studio-notes');
        open.onupgradeneeded = () => open.result.createObjectStore('notes');
        open.onerror = () => reject(open.error);
        open.onsuccess = () => {
          const tx = open.result.transaction('notes', 'readwrite');
          tx.objectStore('notes').put({ indexeddb: speed('indexeddb'), opfs: speed('opfs') }, 'speeds');
          tx.oncomplete = () => {
            open.result.close();
            resolve();
          };
          tx.onerror = () => reject(tx.error);
        };
      }),
    backend,
  );
}
