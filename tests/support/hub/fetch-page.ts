/** Bundled for Chromium by tests/hub/chromium.test.ts: a page that starts the worker and keeps what it says. */
import type { FetchMessage, FetchRequest } from './fetch-worker';

const heard = { share: 0, end: null as Exclude<FetchMessage, { kind: 'progress' }> | null };

const fetching = {
  heard,
  start(request: FetchRequest) {
    heard.end = null;
    const worker = new Worker('/worker.js', { type: 'module' });
    worker.addEventListener('message', ({ data }: MessageEvent<FetchMessage>) => {
      if (data.kind === 'progress') heard.share = data.share;
      else heard.end = data;
    });
    worker.postMessage(request);
  },
};

export type Fetching = typeof fetching;
Object.assign(window, { fetching });
