/** The engine thread of the page: requests in, answers and events out (protocol.ts). */
import { IndexedDbModelStore } from '../storage/indexed-db';
import { StorageNotes } from '../storage/notes';
import { openStores } from '../storage/open';
import { studioError } from './errors';
import type { FromWorker, Request } from './protocol';
import { Studio } from './studio';

const send = (message: FromWorker, transfer: Transferable[] = []) => self.postMessage(message, { transfer });

const studio = new Studio({
  gpu: navigator.gpu,
  notes: new StorageNotes(),
  // The build names this file by its contents and those of all that it imports.
  version: import.meta.url.split('/').at(-1)!,
  store: openStores(),
  runStore: new IndexedDbModelStore('orpo-studio-runs'),
  locks: navigator.locks,
  emit: send,
});

self.addEventListener('message', async ({ data }: MessageEvent<Request>) => {
  const { id, type, args } = data;
  try {
    const handler = studio.handlers[type] as (args: Request['args']) => Promise<never>;
    const result: unknown = await handler(args);
    const stream = (result as { download?: { stream: ReadableStream } } | null)?.download?.stream;
    send({ id, ok: true, result } as FromWorker, stream ? [stream] : []);
  } catch (error) {
    send({ id, ok: false, error: studioError(error) });
  }
});
