/** Both backends in real Chromium, in workers: the same answers, damage that is found, quota, two tabs, the faster one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LAUNCH } from '../support/chromium';
import { bundle, type HarnessSite, serveHarness } from '../support/harness-site';
import type { BackendName, StorageWorker } from '../support/storage-worker';

type Name = keyof StorageWorker;

let site: HarnessSite;
let browser: Browser;
let context: BrowserContext;
let page: Page;

beforeAll(async () => {
  const [harness, worker] = await Promise.all([bundle('storage-page.ts'), bundle('storage-worker.ts')]);
  site = await serveHarness({ 'harness.js': harness, 'worker.js': worker });
  browser = await chromium.launch(LAUNCH);
});
afterAll(async () => {
  await browser?.close();
  site?.close();
});

async function open(inContext = context): Promise<Page> {
  const opened = await inContext.newPage();
  await opened.goto(site.origin);
  await opened.waitForFunction(() => 'call' in window);
  return opened;
}

beforeEach(async () => {
  context = await browser.newContext();
  page = await open();
});
afterEach(() => context.close());

const callIn = <K extends Name>(p: Page, name: K, ...args: Parameters<StorageWorker[K]>) =>
  p.evaluate(
    ([n, a]) => (window as unknown as { call(name: string, ...args: unknown[]): Promise<never> }).call(n, ...a),
    [name, args] as [string, unknown[]],
  ) as Promise<Awaited<ReturnType<StorageWorker[K]>>>;
const call = <K extends Name>(name: K, ...args: Parameters<StorageWorker[K]>) => callIn(page, name, ...args);

const BACKENDS: BackendName[] = ['indexeddb', 'opfs'];

it('both give the same answers', async () => {
  const [one, two] = [await call('contract', 'indexeddb'), await call('contract', 'opfs')];
  expect(two).toEqual(one);
  expect(one.slice(-1)).toEqual([[]]);
  expect(one.filter((said) => said === true)).toHaveLength(7);
  expect(one.filter((said) => typeof said === 'string')).toEqual([
    'missing-chunk',
    'missing-chunk',
    'model-deleted',
    'missing-chunk',
    'model-deleted',
  ]);
});

it.each(BACKENDS)('%s keeps its models over a reload', async (backend) => {
  await call('put', backend, 'm', 2);
  await page.reload();
  await page.waitForFunction(() => 'call' in window);
  expect(await call('ids', backend)).toEqual(['m']);
  expect(await call('read', backend, 'm', 1)).toBe(true);
});

it('both name a full quota, and keep what was stored', async () => {
  // The quota of private windows, which tests are given otherwise, cannot be set.
  const profile = mkdtempSync(join(tmpdir(), 'profile-'));
  const ordinary = await chromium.launchPersistentContext(profile, LAUNCH);
  try {
    const tab = await open(ordinary);
    const session = await ordinary.newCDPSession(tab);
    await session.send('Storage.overrideQuotaForOrigin', { origin: new URL(site.origin).origin, quotaSize: 10e6 });
    for (const backend of BACKENDS) {
      await callIn(tab, 'put', backend, 'm', 1);
      const codes: string[] = [];
      for (let i = 1; i < 6 && codes.at(-1) !== 'quota-exceeded'; i++) {
        codes.push(await callIn(tab, 'write', backend, 'm', i));
      }
      expect(codes.at(-1), backend).toBe('quota-exceeded');
      expect(await callIn(tab, 'read', backend, 'm', 0), backend).toBe(true);
      expect(await callIn(tab, 'remove', backend, 'm'), backend).toBe('none');
    }
  } finally {
    await ordinary.close();
    rmSync(profile, { recursive: true, force: true });
  }
});

describe('private files', () => {
  it('a chunk that was changed, cut short or lost is found', async () => {
    await call('put', 'opfs', 'm', 3);
    await call('damage', 'm', 'w.data', 5 * 2 ** 20, 1);
    await call('damage', 'm', 'w.data', 10 * 2 ** 20, null);
    expect([await call('read', 'opfs', 'm', 0), await call('read', 'opfs', 'm', 1)]).toEqual([true, 'corrupt-chunk']);
    expect(await call('read', 'opfs', 'm', 2)).toBe('corrupt-chunk');
    await call('damage', 'm', 'w.chunks', 36, null);
    expect(await call('read', 'opfs', 'm', 1)).toBe('missing-chunk');
  });

  it('two tabs write and read one model at once, and one deletes what the other has open', async () => {
    const other = await open();
    await call('put', 'opfs', 'm', 1);
    const written = await Promise.all([
      call('write', 'opfs', 'm', 1),
      callIn(other, 'write', 'opfs', 'm', 2),
      call('write', 'opfs', 'm', 3),
    ]);
    expect(written).toEqual(['none', 'none', 'none']);
    for (const i of [0, 1, 2, 3]) expect(await callIn(other, 'read', 'opfs', 'm', i)).toBe(true);
    // The other tab still has the files open for a moment.
    expect(await call('remove', 'opfs', 'm')).toBe('none');
    expect(await callIn(other, 'ids', 'opfs')).toEqual([]);
    await callIn(other, 'close');
    await call('close');
    await call('ids', 'opfs');
    expect(await call('folders')).toEqual([]);
  });

  it('what a deletion left behind is cleared away, but not while its model is in work', async () => {
    const other = await open();
    await call('leave', 'm');
    await callIn(other, 'hold', 'm');
    expect(await call('ids', 'opfs')).toEqual([]);
    expect(await call('folders')).toEqual(['m']);
    await callIn(other, 'release');
    await call('ids', 'opfs');
    expect(await call('folders')).toEqual([]);
  });
});

describe('the two as one', () => {
  it('new models go to the faster one, and each stays where it is', async () => {
    const before = await call('states');
    expect(before.map(({ backend, unavailable, chosen, speed }) => [backend, unavailable, chosen, speed])).toEqual([
      ['indexeddb', null, true, null],
      ['opfs', null, false, null],
    ]);
    expect(await call('store', 'small', 1)).toBe(true);
    await call('pretend', { indexeddb: 1e8, opfs: 1.05e8 });
    expect(await call('store', 'second', 1)).toBe(true);
    await call('pretend', { indexeddb: 1e8, opfs: 2e8 });
    expect(await call('store', 'third', 1)).toBe(true);
    expect(await call('store', 'small', 1)).toBe(true);
    const places = { small: 'indexeddb', second: 'indexeddb', third: 'opfs' };
    expect(await call('placed')).toEqual(places);
    expect((await call('states')).map(({ chosen }) => chosen)).toEqual([false, true]);
    // Deleted and stored elsewhere by another tab.
    const other = await open();
    await callIn(other, 'removeAny', 'third');
    expect(await call('readAny', 'third')).toBe('missing-chunk');
    await call('pretend', { indexeddb: 2e8, opfs: 1e8 });
    expect(await callIn(other, 'store', 'third', 1)).toBe(true);
    expect(await call('readAny', 'third')).toBe('none');
    expect(await call('placed')).toEqual({ ...places, third: 'indexeddb' });
  });

  it('are measured before the first large model is stored, once', async () => {
    expect(await call('store', 'large', 20)).toBe(true);
    const states = await call('states');
    for (const { speed } of states) {
      expect(speed!.readBytesPerSecond).toBeGreaterThan(1e6);
      expect(speed!.writeBytesPerSecond).toBeGreaterThan(1e6);
    }
    const chosen = states.find((state) => state.chosen)!.backend;
    expect(await call('placed')).toEqual({ large: chosen });
    expect([await call('ids', 'indexeddb'), await call('ids', 'opfs')].flat()).toEqual(['large']);
    expect(await call('store', 'next', 20)).toBe(true);
    expect((await call('states')).map(({ speed }) => speed)).toEqual(states.map(({ speed }) => speed));
  });
});
