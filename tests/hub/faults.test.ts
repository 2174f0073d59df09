/** What goes wrong while a model comes from the Hub: nothing is lost, nothing wrong is used, every message has a next step. */
import 'fake-indexeddb/auto';
import { promisifyRequest } from 'idb-keyval';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ensureModel, type FetchModelOptions, openModel } from '../../src/hub/model';
import { hubModel } from '../../src/hub/repository';
import { IndexedDbModelStore } from '../../src/storage/indexed-db';
import { CHUNK_BYTES, isComplete, StorageError, storedBytes } from '../../src/storage/store';
import { type LocalHub, serveHub } from '../support/hub/server';
import { tinyRepository, weightsOf } from '../support/hub/tiny';

const WEIGHTS = 'model.safetensors';
const large = weightsOf(13);
const small = weightsOf(2);
let hub: LocalHub;
let store: IndexedDbModelStore;
/** Chunks written to storage since the test began, as "file index". */
let written: string[];
/** What a test does around the writing of a chunk. */
let beforeWrite: (file: string, index: number) => void;
let afterWrite: (file: string, index: number) => void;
let databases = 0;

beforeAll(async () => {
  hub = await serveHub();
  hub.add('someone/large', tinyRepository({ [WEIGHTS]: large }));
  hub.add('someone/small', tinyRepository({ [WEIGHTS]: small }));
  hub.add('someone/gated', tinyRepository({ [WEIGHTS]: small }), { gated: 'manual' });
});
afterAll(() => hub.close());
beforeEach(() => {
  hub.faults.clear();
  hub.log.length = 0;
  hub.tokens.clear();
  hub.tokens.set('hf_right', new Set(['someone/gated'])).set('hf_newer', new Set(['someone/gated']));
  databases++;
  openTab();
  written = [];
});
afterEach(() => vi.restoreAllMocks());

/** A store over the same storage, as another visit has it. */
function openTab() {
  beforeWrite = afterWrite = () => {};
  store = new IndexedDbModelStore(`faults-${databases}`);
  const write = store.writeChunk.bind(store);
  vi.spyOn(store, 'writeChunk').mockImplementation(async (id, file, index, bytes) => {
    beforeWrite(file, index);
    await write(id, file, index, bytes);
    written.push(`${file} ${index}`);
    afterWrite(file, index);
  });
}

/** Runs `act` when this chunk of the weights was written. */
function whenWritten(chunk: number, act: () => void) {
  afterWrite = (file, index) => {
    if (file === WEIGHTS && index === chunk) act();
  };
}

const model = (name: string, token?: string) =>
  hubModel({ hubUrl: hub.url, token }, { repo: `someone/${name}`, revision: 'main' });
const fetchModel = (name: string, options: FetchModelOptions & { token?: string } = {}) =>
  ensureModel(store, model(name, options.token), { backoffMs: 1, ...options });
const failed = (work: Promise<unknown>) => work.then(() => expect.unreachable('it should fail')).catch((e: Error) => e);

async function expectWhole(name: string, bytes: Uint8Array) {
  expect(isComplete(await store.record(`someone/${name}`))).toBe(true);
  const file = await (await openModel(store, model(name), { backoffMs: 1 })).open(WEIGHTS);
  expect(Buffer.compare(await file.read(0, file.size), bytes)).toBe(0);
}

async function tamper(name: string, index: number) {
  const db = await promisifyRequest(indexedDB.open(`faults-${databases}`));
  const tx = db.transaction('chunks', 'readwrite');
  tx.objectStore('chunks').put(new Uint8Array(CHUNK_BYTES).buffer, [`someone/${name}`, WEIGHTS, index]);
  await promisifyRequest(tx);
  db.close();
}

const chunksWritten = () => written.filter((chunk) => chunk.startsWith(WEIGHTS));
const once = (chunks: number) => Array.from({ length: chunks }, (_, i) => `${WEIGHTS} ${i}`).sort();

describe('a connection that breaks', () => {
  it('50 times at random bytes costs only what was on its way', async () => {
    let seed = 7;
    for (let i = 0; i < 50; i++) {
      seed = (seed * 48271) % 2147483647;
      hub.faults.add({ where: 'cdn' }, { dropAfter: seed % 1_500_000 });
    }
    await fetchModel('large');
    expect(hub.faults.left).toBe(0);
    expect(chunksWritten().sort()).toEqual(once(14));
    expect(hub.sent(WEIGHTS)).toBeLessThan(large.length + 50 * CHUNK_BYTES);
    // Each new attempt asks for what did not come.
    const begins = hub.filesAsked('cdn').map((asked) => Number(/bytes=(\d+)-/u.exec(asked)?.[1]));
    for (const chunk of [0, 4, 8, 12]) expect(begins).toContain(chunk * CHUNK_BYTES);
    expect(begins.filter((begin) => begin % CHUNK_BYTES !== 0).length).toBeGreaterThan(40);
    await expectWhole('large', large);
  });

  it('is one of four at a time', async () => {
    hub.faults.add({ where: 'cdn', times: 8 }, { stallAfter: 1000 });
    const closing = new AbortController();
    hub.cdnAnswers.most = 0;
    const loading = failed(fetchModel('large', { signal: closing.signal }));
    await expect.poll(() => hub.cdnAnswers.now, { timeout: 20_000 }).toBe(4);
    closing.abort(new Error('closed'));
    expect((await loading).message).toBe('closed');
    expect(hub.cdnAnswers.most).toBe(4);
  });

  it('or a stall, or a server in trouble, is tried again', async () => {
    hub.faults
      .add({ where: 'cdn' }, { stallAfter: 100_000 })
      .add({ where: 'cdn' }, { status: 503 })
      .add({ where: 'hub', path: WEIGHTS }, { status: 502 });
    await fetchModel('small', { stallMs: 800 });
    expect(chunksWritten()).toEqual(once(3));
    await expectWhole('small', small);
  });
});

it('a transfer that stalls shows how far it came', async () => {
  hub.faults.add({ where: 'cdn' }, { stallAfter: 1_000_000 });
  const closing = new AbortController();
  let told = 0;
  const onProgress: FetchModelOptions['onProgress'] = ({ file, fileBytes }) => {
    if (file === WEIGHTS) told = fileBytes;
  };
  const loading = failed(fetchModel('small', { signal: closing.signal, onProgress }));
  await expect.poll(() => told, { timeout: 20_000 }).toBe(1_000_000);
  closing.abort(new Error('closed'));
  await loading;
});

describe('a tab that is closed at 30 %', () => {
  it('goes on in the next visit with what is missing', async () => {
    const closing = new AbortController();
    const error = await failed(
      fetchModel('large', {
        signal: closing.signal,
        onProgress: ({ bytes, totalBytes }) => {
          if (bytes > 0.3 * totalBytes) closing.abort(new Error('closed'));
        },
      }),
    );
    expect(error.message).toBe('closed');
    const before = chunksWritten();
    expect(before.length).toBeGreaterThan(0);
    expect(before.length).toBeLessThan(14);
    openTab();
    const kept = await storedBytes(store, await store.record('someone/large'));
    hub.log.length = 0;
    hub.repos.get('someone/large')!.commit(tinyRepository({ [WEIGHTS]: small })); // the branch moves on meanwhile
    await fetchModel('large');
    hub.add('someone/large', tinyRepository({ [WEIGHTS]: large }));
    expect(chunksWritten().sort()).toEqual(once(14));
    expect(hub.sent(WEIGHTS)).toBeLessThanOrEqual(large.length - kept + 2_000);
    await expectWhole('large', large);
  });
});

describe('bytes that are flipped', () => {
  it('in transit are found by the Hub’s SHA-256, deleted and fetched again', async () => {
    hub.faults.add({ where: 'cdn' }, { flipAt: CHUNK_BYTES + 5 });
    await fetchModel('small');
    expect(chunksWritten()).toEqual([...once(3), ...once(3)]);
    await expectWhole('small', small);
  });

  it('in transit in a small file are found by git’s hash of it', async () => {
    hub.faults.add(
      { path: 'resolve/' + [...hub.repos.get('someone/small')!.commits.keys()][0] + '/tokenizer.json' },
      {
        body: Buffer.from('{"version":"1.1"}'),
      },
    );
    await fetchModel('small');
    expect(written.filter((chunk) => chunk === 'tokenizer.json 0')).toHaveLength(2);
  });

  it('each time are never used, and the message names the file', async () => {
    hub.faults.add({ where: 'cdn', times: 9 }, { flipAt: 5 });
    expect(await failed(fetchModel('small'))).toMatchObject({
      code: 'wrong-bytes',
      file: WEIGHTS,
      message: expect.stringMatching(/its SHA-256 is .* It was fetched 3 times and is not used\. Try again later/),
    });
    await expect(openModel(store, model('small'))).rejects.toMatchObject({ code: 'missing-file' });
  });

  it('in storage before the model is whole are fetched again, that part alone', async () => {
    const closing = new AbortController();
    whenWritten(1, () => closing.abort(new Error('closed')));
    await failed(fetchModel('small', { signal: closing.signal }));
    await tamper('small', 0);
    await fetchModel('small');
    expect(chunksWritten()).toEqual([...once(3), `${WEIGHTS} 0`]);
    await expectWhole('small', small);
  });

  it('in storage later are fetched again when they are read', async () => {
    await fetchModel('small');
    await tamper('small', 1);
    hub.log.length = 0;
    await expectWhole('small', small);
    expect(hub.filesAsked('cdn')).toEqual([`${WEIGHTS} bytes=${CHUNK_BYTES}-${2 * CHUNK_BYTES - 1}`]);
  });
});

describe('a server that asks to wait', () => {
  it('is waited for as long as Retry-After says', async () => {
    hub.faults.add({ where: 'hub', path: WEIGHTS }, { status: 429, retryAfter: 1 });
    const started = performance.now();
    await fetchModel('small');
    expect(performance.now() - started).toBeGreaterThanOrEqual(1000);
    await expectWhole('small', small);
  });

  it('for very long is not waited for, and the message says for how long', async () => {
    hub.faults.add({ where: 'hub', path: WEIGHTS }, { status: 429, retryAfter: 1200 });
    expect(await failed(fetchModel('small'))).toMatchObject({
      code: 'unreachable',
      message: expect.stringMatching(/429 Too Many Requests\. Try again in 20 minutes; what has come so far is kept/),
    });
  });
});

describe('access', () => {
  it('that expires on the way ends with the Hub’s reason, and a new token goes on', async () => {
    whenWritten(0, () => hub.tokens.delete('hf_right'));
    hub.faults.add({ where: 'cdn' }, { stallAfter: CHUNK_BYTES + 200_000 });
    expect(await failed(fetchModel('gated', { token: 'hf_right', stallMs: 800 }))).toMatchObject({
      code: 'hub-bad-token',
      url: `${hub.url}/settings/tokens`,
      message: expect.stringMatching(
        /The Hub says: Invalid credentials in Authorization header\. .* expired .*What has come so far is kept/,
      ),
    });
    openTab();
    hub.log.length = 0;
    await fetchModel('gated', { token: 'hf_newer' });
    expect(hub.filesAsked('cdn')).toEqual([`${WEIGHTS} bytes=${CHUNK_BYTES}-${small.length - 1}`]);
    await expectWhole('gated', small);
    expect(hub.log.filter(({ where, authorization }) => where === 'cdn' && authorization)).toEqual([]);
  });

  it('by a link that has expired is asked for again', async () => {
    hub.faults.add({ where: 'cdn' }, { status: 403 });
    await fetchModel('small');
    await expectWhole('small', small);
  });

  it.each([
    [
      'gated',
      undefined,
      'hub-no-access',
      /You must have access to it .* Ask for access on .*gated, then sign in or paste/,
    ],
    ['gated', 'hf_wrong', 'hub-bad-token', /Invalid credentials/],
    ['none', undefined, 'hub-not-found', /no model someone\/none, or it is private/],
  ])('to %s with token %s is refused before anything is stored', async (name, token, code, message) => {
    const error = await failed(fetchModel(name, { token }));
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(written).toEqual([]);
  });

  it('that was not granted says where to ask for it', async () => {
    hub.tokens.set('hf_other', new Set());
    expect(await failed(fetchModel('gated', { token: 'hf_other' }))).toMatchObject({
      code: 'hub-no-access',
      url: `${hub.url}/someone/gated`,
      message: expect.stringMatching(/not in the authorized list\. .* Ask for access on/),
    });
  });
});

describe('storage', () => {
  it('that is full on the way keeps what came, and goes on once there is room', async () => {
    beforeWrite = (file, index) => {
      if (file === WEIGHTS && index === 1) throw new StorageError('quota-exceeded', 'No room. Delete a model.');
    };
    expect(await failed(fetchModel('small'))).toMatchObject({ code: 'quota-exceeded' });
    expect(await store.chunks('someone/small', WEIGHTS)).toHaveLength(1);
    beforeWrite = () => {};
    hub.log.length = 0;
    await fetchModel('small');
    expect(hub.filesAsked('cdn')).toEqual([`${WEIGHTS} bytes=${CHUNK_BYTES}-${small.length - 1}`]);
    await expectWhole('small', small);
  });

  it('without room for it is refused beforehand, with numbers', async () => {
    vi.spyOn(store, 'usage').mockResolvedValue({ usage: 7e6, quota: 9e6 });
    expect(await failed(fetchModel('small'))).toMatchObject({
      code: 'no-room',
      message: expect.stringMatching(/needs 9 MB more and the browser grants 2 MB\. Delete a stored model/),
    });
    expect(hub.filesAsked('cdn')).toEqual([]);
  });
});
