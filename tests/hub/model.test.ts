import 'fake-indexeddb/auto';
import { promisifyRequest } from 'idb-keyval';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  deleteModel,
  ensureModel,
  type FetchModelOptions,
  listOffers,
  manifestModel,
  openModel,
} from '../../src/hub/model';
import type { FetchProgress } from '../../src/hub/progress';
import { IndexedDbModelStore } from '../../src/storage/indexed-db';
import { CHUNK_BYTES, isComplete, storedBytes } from '../../src/storage/store';
import { type ModelServer, pseudoRandomBytes, serveModel } from '../support/model-server';

const WEIGHTS = 'model.safetensors';
const weights = pseudoRandomBytes(3 * CHUNK_BYTES + 777);
const config = new TextEncoder().encode('{"model_type":"llama"}');
const wrong = weights.slice();
wrong[CHUNK_BYTES + 5] ^= 1;

let counter = 0;
let server: ModelServer;
let store: IndexedDbModelStore;

beforeEach(async () => {
  server = await serveModel({ 'config.json': config, [WEIGHTS]: weights, 'empty.txt': new Uint8Array() });
  store = new IndexedDbModelStore(`hub-${++counter}`);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await server.close();
});

const source = (id = 'tiny') => manifestModel(id, server.baseUrl);
const quick = { backoffMs: 1, attempts: 4 };
const ensure = (options: FetchModelOptions = {}) => ensureModel(store, source(), { ...quick, ...options });

async function expectWhole() {
  expect(isComplete(await store.record('tiny'))).toBe(true);
  const files = await openModel(store, source());
  const file = await files.open(WEIGHTS);
  expect(Buffer.compare(await file.read(0, file.size), weights)).toBe(0);
}

async function tamper(index: number) {
  const db = await promisifyRequest(indexedDB.open(`hub-${counter}`));
  const tx = db.transaction('chunks', 'readwrite');
  tx.objectStore('chunks').put(new Uint8Array(CHUNK_BYTES).buffer, ['tiny', WEIGHTS, index]);
  await promisifyRequest(tx);
  db.close();
}

describe('fetching a model', () => {
  it('stores all files, tells its progress, and needs no network afterwards', async () => {
    const reports: FetchProgress[] = [];
    const { fromStorage, record } = await ensure({ onProgress: (p) => reports.push(p) });
    expect(fromStorage).toBe(false);
    expect(record.about).toMatchObject({ title: 'Tiny', fineOnCpu: true });
    expect(server.requests).toEqual(['manifest.json', 'config.json', WEIGHTS]);
    const total = weights.length + config.length;
    expect(reports.at(-1)).toMatchObject({ bytes: total, totalBytes: total, secondsLeft: 0 });
    expect(reports.some((p) => p.phase === 'downloading' && p.file === WEIGHTS)).toBe(true);
    for (let i = 1; i < reports.length; i++) expect(reports[i].bytes).toBeGreaterThanOrEqual(reports[i - 1].bytes);

    server.requests.length = 0;
    expect((await ensure()).fromStorage).toBe(true);
    await expectWhole();
    expect(server.requests).toEqual([]);
  });

  it('goes on where a dropped connection left off', async () => {
    server.faults[WEIGHTS] = [{ dropAfter: CHUNK_BYTES + 1000 }, { status: 503 }, { dropAfter: 10 }];
    await ensure();
    const rest = (come: number) => `${WEIGHTS} bytes=${CHUNK_BYTES + come}-${weights.length - 1}`;
    expect(server.requests.slice(2)).toEqual([WEIGHTS, rest(1000), rest(1000), rest(1010)]);
    await expectWhole();
  });

  it('goes on where an earlier visit left off', async () => {
    const abort = new AbortController();
    const write = store.writeChunk.bind(store);
    vi.spyOn(store, 'writeChunk').mockImplementation(async (...args) => {
      await write(...args);
      if (args[1] === WEIGHTS && args[2] === 1) abort.abort(new Error('closed'));
    });
    await expect(ensure({ signal: abort.signal })).rejects.toThrow('closed');
    vi.restoreAllMocks();
    const record = await store.record('tiny');
    expect(isComplete(record)).toBe(false);
    expect(await storedBytes(store, record)).toBe(config.length + 2 * CHUNK_BYTES);
    expect((await listOffers(store, server.baseUrl))[0]).toMatchObject({
      id: 'tiny',
      storedBytes: config.length + 2 * CHUNK_BYTES,
      downloadBytes: config.length + weights.length,
    });

    server.requests.length = 0;
    await ensure();
    expect(server.requests).toEqual(['manifest.json', `${WEIGHTS} bytes=${2 * CHUNK_BYTES}-${weights.length - 1}`]);
    await expectWhole();
  });

  it('fetches only the chunk that changed in storage since', async () => {
    server.faults[WEIGHTS] = [{ dropAfter: 2 * CHUNK_BYTES + 5 }, { status: 404 }];
    await expect(ensure()).rejects.toMatchObject({ code: 'refused' });
    await tamper(0);
    server.requests.length = 0;
    await ensure();
    expect(server.requests.slice(1)).toEqual([
      `${WEIGHTS} bytes=${2 * CHUNK_BYTES}-${weights.length - 1}`,
      `${WEIGHTS} bytes=0-${CHUNK_BYTES - 1}`,
    ]);
    await expectWhole();
  });

  it('fetches wrong bytes again and never uses them', async () => {
    server.faults[WEIGHTS] = [{ body: wrong }];
    await ensure();
    expect(server.requests.filter((r) => r.startsWith(WEIGHTS))).toEqual([WEIGHTS, WEIGHTS]);
    await expectWhole();
  });

  it.each([
    ['wrong bytes', wrong, /SHA-256/],
    ['a longer file', pseudoRandomBytes(weights.length + 1), /has 12583690 bytes, not 12583689/],
    ['a truncated file', weights.slice(0, CHUNK_BYTES + 3), /has 4194307 bytes/],
  ])('gives up on %s after three times, naming the file, and stores none of it', async (_name, body, message) => {
    server.faults[WEIGHTS] = Array.from({ length: 20 }, () => ({ body }));
    const error = await ensure().catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'wrong-bytes', file: WEIGHTS, message: expect.stringMatching(message) });
    expect(server.requests.filter((r) => r.startsWith(WEIGHTS))).toHaveLength(3);
    expect(await store.chunks('tiny', WEIGHTS)).toEqual([]);
    expect(await store.chunks('tiny', 'config.json')).toHaveLength(1);
    await expect(openModel(store, source())).rejects.toMatchObject({ code: 'missing-file' });
    server.faults = {};
    await ensure();
    await expectWhole();
  });

  it('notices a body that ends early, or goes on too long, without a Content-Length', async () => {
    server.faults[WEIGHTS] = [{ endAfter: CHUNK_BYTES + 9 }];
    await ensure();
    await expectWhole();
    await deleteModel(store, 'tiny');
    server.gzip = true; // hides the length
    server.faults[WEIGHTS] = [{ body: pseudoRandomBytes(weights.length + 5) }];
    await ensure();
    await expectWhole();
  });

  it('copes with servers that ignore ranges or compress', async () => {
    for (const how of ['ignoreRanges', 'gzip'] as const) {
      server[how] = true;
      server.faults[WEIGHTS] = [{ dropAfter: 2 * CHUNK_BYTES }];
      await ensure();
      await expectWhole();
      await deleteModel(store, 'tiny');
      server[how] = false;
    }
  });

  it('breaks off a stalled transfer and tries again', async () => {
    server.faults[WEIGHTS] = [{ stallAfter: 100 }];
    await ensure({ stallMs: 300 });
    await expectWhole();
  });

  it('gives up on an unreachable host with what has come so far kept', async () => {
    server.faults[WEIGHTS] = [
      { dropAfter: CHUNK_BYTES + 5 },
      { status: 500 },
      { status: 500 },
      { status: 500 },
      { status: 500 },
    ];
    const error = await ensure().catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'unreachable', message: expect.stringMatching(/500.*kept/) });
    expect(await store.chunks('tiny', WEIGHTS)).toHaveLength(1);
  });

  it('stops at once when told to, also between attempts', async () => {
    const abort = new AbortController();
    server.faults[WEIGHTS] = Array.from({ length: 9 }, () => ({ status: 503 }));
    const run = ensure({ signal: abort.signal, backoffMs: 60_000 });
    setTimeout(() => abort.abort(new Error('stop')), 100);
    await expect(run).rejects.toThrow('stop');
  });

  it('fetches once when two ask at the same time', async () => {
    const [a, b] = await Promise.all([ensure(), ensure()]);
    expect([a.fromStorage, b.fromStorage]).toEqual([false, true]);
    expect(server.requests.filter((r) => r === WEIGHTS)).toHaveLength(1);
  });

  it('keeps unchanged files when the host has a new version', async () => {
    server.faults[WEIGHTS] = [{ status: 404 }];
    await expect(ensure()).rejects.toMatchObject({ code: 'refused' });
    const old = await store.record('tiny');
    old!.files[1].sha256 = '0'.repeat(64);
    await store.putRecord(old!);
    await store.writeChunk('tiny', WEIGHTS, 0, Uint8Array.of(1, 2, 3));
    server.requests.length = 0;
    await ensure();
    expect(server.requests).toEqual(['manifest.json', WEIGHTS]);
    await expectWhole();
  });

  it('refuses beforehand what the browser has no room for', async () => {
    vi.spyOn(store, 'usage').mockResolvedValue({ usage: 9e6, quota: 10e6 });
    const error = await ensure().catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'no-room', message: expect.stringMatching(/13 MB more.*grants 1 MB/) });
    expect(server.requests).toEqual(['manifest.json']);
  });

  it('refuses what is not a manifest', async () => {
    for (const body of [
      '<html>',
      '{}',
      JSON.stringify({ ...server.manifest, files: [{ name: '../x', size: 1, sha256: '' }] }),
    ]) {
      server.faults['manifest.json'] = [{ body: Buffer.from(body) }];
      await expect(ensure()).rejects.toMatchObject({ code: 'bad-manifest' });
    }
    await expect(ensureModel(store, source('other'), quick)).rejects.toMatchObject({
      code: 'bad-manifest',
    });
  });
});

describe('a stored model', () => {
  it('has a chunk that changed fetched again when it is read', async () => {
    await ensure();
    await tamper(1);
    server.requests.length = 0;
    await expectWhole();
    expect(server.requests).toEqual([`${WEIGHTS} bytes=${CHUNK_BYTES}-${2 * CHUNK_BYTES - 1}`]);
  });

  it('never uses a changed chunk that cannot be had as it was', async () => {
    await ensure();
    await tamper(1);
    server.faults[WEIGHTS] = [{ body: wrong }];
    const file = await (await openModel(store, source(), quick)).open(WEIGHTS);
    await expect(file.read(0, file.size)).rejects.toMatchObject({ code: 'corrupt-chunk' });
    expect((await ensure()).fromStorage).toBe(false); // the next load puts it right
    await expectWhole();
  });

  it('is listed without the host', async () => {
    await ensure();
    await server.close();
    const [offer] = await listOffers(store, server.baseUrl, quick);
    expect(offer).toMatchObject({ id: 'tiny', title: 'Tiny', storedBytes: offer.downloadBytes });
    await expectWhole();
    await deleteModel(store, 'tiny');
    await expect(listOffers(store, server.baseUrl, quick)).rejects.toMatchObject({ code: 'unreachable' });
  });
});
