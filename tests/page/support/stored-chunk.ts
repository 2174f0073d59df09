/** The first chunk of a stored file, read and damaged behind the page's back. */
import type { Page } from 'playwright-core';

export type Damage = 'flip' | 'cut' | 'lose';

/** Runs in the page: applies `damage` (or nothing) and returns the SHA-256 of the chunk as it then is. */
async function touchChunk([model, file, damage]: [string, string, Damage | null]): Promise<string> {
  const database = await new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open('orpo-studio-models');
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const key = [model, file, 0];
  const done = <T>(request: IDBRequest<T>) =>
    new Promise<T>((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const store = database.transaction('chunks', 'readwrite').objectStore('chunks');
  let data: ArrayBuffer = (await done(store.get(key))) ?? new ArrayBuffer(0);
  if (damage === 'flip') new Uint8Array(data)[data.byteLength - 1000] ^= 1;
  if (damage === 'cut') data = data.slice(0, data.byteLength / 2);
  if (damage === 'lose') await done(store.delete(key));
  else if (damage) await done(store.put(data, key));
  database.close();
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', data));
  return [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export const storedHash = (page: Page, model: string, file: string): Promise<string> =>
  page.evaluate(touchChunk, [model, file, null] as [string, string, null]);

export const changeChunk = (page: Page, model: string, file: string, damage: Damage): Promise<string> =>
  page.evaluate(touchChunk, [model, file, damage] as [string, string, Damage]);
