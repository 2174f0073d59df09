/** Bundled for Chromium by tests/storage/backends.test.ts: a page whose worker has the stores. */
import type { StorageWorker } from './storage-worker';

const worker = new Worker('/worker.js', { type: 'module' });
let calls = 0;

/** Runs a function of storage-worker.ts there. Rejects with an error of the same `code`. */
function call<K extends keyof StorageWorker>(name: K, ...args: Parameters<StorageWorker[K]>) {
  const id = ++calls;
  return new Promise<Awaited<ReturnType<StorageWorker[K]>>>((resolve) => {
    const listen = ({ data }: MessageEvent) => {
      if (data.id !== id) return;
      worker.removeEventListener('message', listen);
      resolve(data.result);
    };
    worker.addEventListener('message', listen);
    worker.postMessage({ id, name, args });
  });
}

export type Call = typeof call;
Object.assign(window, { call });
