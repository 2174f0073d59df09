/** What the browser says of this site's storage as a whole, and how its errors are told. */
import { StorageError, type StorageUsage } from './store';

export async function originUsage(): Promise<StorageUsage> {
  const estimate = await globalThis.navigator?.storage?.estimate?.().catch(() => undefined);
  return { usage: estimate?.usage ?? null, quota: estimate?.quota ?? null };
}

/** Whether the browser keeps this site's data when the disk runs full; null where it does not say. */
export async function isPersisted(): Promise<boolean | null> {
  return (await globalThis.navigator?.storage?.persisted?.().catch(() => null)) ?? null;
}

export const modelDeleted = (id: string) =>
  new StorageError('model-deleted', `The model ${id} was deleted meanwhile. Load it again if it is still wanted.`);

export const missingChunk = (id: string, file: string, index: number) =>
  new StorageError(
    'missing-chunk',
    `Part ${index} of ${file} of the model ${id} is not in storage; perhaps it was deleted in another tab. Load the model again.`,
  );

export const corruptChunk = (id: string, file: string, index: number) =>
  new StorageError(
    'corrupt-chunk',
    `Part ${index} of ${file} of the model ${id} has changed in storage. Load the model again to fetch that part.`,
  );

export const storageUnavailable = (what: string, cause: unknown) =>
  new StorageError(
    'storage-unavailable',
    `This browser gives the page no storage (${what}). Leave private browsing, or allow site data, and reload.`,
    { cause },
  );

/** An error of the browser's as one of ours; ours as they are. */
export function asStorageError(cause: unknown): Error {
  if (cause instanceof StorageError) return cause;
  const { name, message } = cause as Error;
  if (name === 'QuotaExceededError') {
    return new StorageError(
      'quota-exceeded',
      'The browser has no room left for this model. Delete a stored model or free disk space, then go on; what is stored is kept.',
      { cause },
    );
  }
  return new StorageError(
    'storage-failed',
    `The browser's storage failed (${name}: ${message}). Reload the page and try again.`,
    { cause },
  );
}
