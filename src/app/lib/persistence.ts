/** Whether the browser keeps this site's data when the disk runs full: only a page may ask, not a worker. */

export const askPersistence = async (): Promise<boolean> => (await navigator.storage?.persist?.()) ?? false;

/** The same without a word, as a model is about to be downloaded at a click. */
export function askPersistenceQuietly(): void {
  if (navigator.userActivation?.isActive) askPersistence().catch(() => false);
}
