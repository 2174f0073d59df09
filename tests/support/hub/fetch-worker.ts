/** Bundled for Chromium by tests/hub/chromium.test.ts: a worker that fetches from a Hub into the browser's storage. */
import { ensureModel, openModel } from '../../../src/hub/model';
import { hubModel } from '../../../src/hub/repository';
import { openStores } from '../../../src/storage/open';
import { Sha256 } from '../../../src/storage/sha256';

export interface FetchRequest {
  hubUrl: string;
  repo: string;
  token?: string;
  /** A file to read back. */
  file: string;
}

export type FetchMessage =
  | { kind: 'progress'; share: number }
  | { kind: 'done'; sha256: string }
  | { kind: 'failed'; code: string; message: string };

const send = (message: FetchMessage) => postMessage(message);

async function run({ hubUrl, repo, token, file }: FetchRequest): Promise<void> {
  const store = openStores();
  const model = hubModel({ hubUrl, token }, { repo, revision: 'main' });
  await ensureModel(store, model, {
    backoffMs: 10,
    onProgress: ({ bytes, totalBytes }) => send({ kind: 'progress', share: bytes / totalBytes }),
  });
  const source = await (await openModel(store, model)).open(file);
  const hash = new Sha256();
  const piece = 4 * 2 ** 20;
  for (let at = 0; at < source.size; at += piece) hash.update(await source.read(at, Math.min(at + piece, source.size)));
  send({ kind: 'done', sha256: hash.digest() });
}

addEventListener('message', ({ data }: MessageEvent<FetchRequest>) => {
  run(data).catch((error: Error & { code?: string }) =>
    send({ kind: 'failed', code: error.code ?? error.name, message: error.message }),
  );
});
