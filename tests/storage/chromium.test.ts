import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { serializeSafetensorsHeader } from '../../src/formats/safetensors';
import { CHUNK_BYTES } from '../../src/storage/store';
import type { Studio } from '../support/browser-harness';
import { LAUNCH } from '../support/chromium';
import { repositoryPath } from '../support/files';
import { bundle, type HarnessSite, serveHarness } from '../support/harness-site';

declare const studio: Studio;

const [MODEL, WEIGHTS] = ['stories-260k', 'model.safetensors'];
/** A model much larger than what may be in memory of it. */
const [LARGE, LARGE_CHUNKS] = ['large', 24];
let hashes: Record<string, string>;
let site: HarnessSite;
let browser: Browser;
let requests: string[] = [];
let page: Page;
let said: string[] = [];

beforeAll(async () => {
  const manifest = JSON.parse(await readFile(repositoryPath(`public/models/${MODEL}/manifest.json`), 'utf8'));
  hashes = Object.fromEntries(manifest.files.map((file: { name: string; sha256: string }) => [file.name, file.sha256]));
  const large = largeModel();
  site = await serveHarness({ 'harness.js': await bundle('browser-harness.ts') }, async (path) => {
    requests.push(path.split('/').at(-1)!);
    const body = large[path] ?? (await readFile(repositoryPath(`public${path}`)).catch(() => null));
    if (path.endsWith(WEIGHTS)) await new Promise((done) => setTimeout(done, 200));
    return body;
  });
  browser = await chromium.launch(LAUNCH);
});
afterAll(async () => {
  await browser?.close();
  site?.close();
});

/** Its files by path: tensors of a chunk each, none of which begins where a chunk does. The server knows no ranges. */
function largeModel(): Record<string, Buffer> {
  const names = Array.from({ length: LARGE_CHUNKS }, (_, i) => `t${i}`);
  const { header, size } = serializeSafetensorsHeader(
    names.map((name) => ({ name, dtype: 'U8', shape: [CHUNK_BYTES] })),
    {},
  );
  const weights = Buffer.concat([header, randomBytes(size - header.length)]);
  const contents = { 'config.json': Buffer.from('{}'), [WEIGHTS]: weights };
  const files = Object.entries(contents).map(([name, bytes]) => ({
    name,
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  }));
  const about = { id: LARGE, title: 'Large', about: '', format: 'F32', parameters: 1, fineOnCpu: false };
  const all = { ...contents, 'manifest.json': Buffer.from(JSON.stringify({ ...about, files })) };
  return Object.fromEntries(Object.entries(all).map(([name, bytes]) => [`/models/${LARGE}/${name}`, bytes]));
}

/** The most bytes of array buffers, garbage among them, that the page's thread held while something went on. */
async function buffersWhile(work: () => Promise<unknown>): Promise<number> {
  const session = await page.context().newCDPSession(page);
  let going = true;
  let most = 0;
  const watching = (async () => {
    while (going) {
      const usage = (await session.send('Runtime.getHeapUsage').catch(() => ({}))) as { backingStorageSize?: number };
      most = Math.max(most, usage.backingStorageSize ?? 0);
    }
  })();
  await work().finally(() => {
    going = false;
  });
  await watching;
  await session.detach();
  return most;
}

async function openPage(context = page?.context()): Promise<Page> {
  const opened = await context.newPage();
  opened.on('console', (message) => said.push(message.text()));
  opened.on('pageerror', (error) => said.push(String(error)));
  await opened.goto(site.origin);
  await opened.waitForFunction(() => 'studio' in window);
  return opened;
}

beforeEach(async () => {
  said = [];
  page = await openPage(await browser.newContext());
  requests = [];
  return () => page.context().close();
});

const load = (p: Page) => p.evaluate(([id, file]) => studio.load(id, file), [MODEL, WEIGHTS]);

describe('in Chromium, under the policy of the page', () => {
  it('keeps a model over a reload without network, and deletes it', async () => {
    expect(await load(page)).toEqual({ fromStorage: false, sha256: hashes[WEIGHTS] });
    expect(requests).toEqual(['manifest.json', ...Object.keys(hashes)]);
    requests = [];
    await page.reload();
    await page.waitForFunction(() => 'studio' in window);
    expect(await load(page)).toEqual({ fromStorage: true, sha256: hashes[WEIGHTS] });
    expect(requests).toEqual([]);
    const { usage, quota } = await page.evaluate(() => studio.usage());
    expect(usage).toBeGreaterThan(1_000_000);
    expect(quota).toBeGreaterThan(usage!);
    await page.evaluate((id) => studio.remove(id), MODEL);
    expect((await load(page)).fromStorage).toBe(false);
    expect(said).toEqual([]);
  });

  // When garbage is collected is the browser's choice.
  it('fetches, stores and reads a model in the memory of a few chunks', { retry: 2 }, async () => {
    const read = () => page.evaluate(([id, piece]) => studio.readThrough(id, piece), [LARGE, CHUNK_BYTES] as const);
    const most = await buffersWhile(async () => expect(await read()).toBe(LARGE_CHUNKS * CHUNK_BYTES));
    expect(most).toBeGreaterThan(CHUNK_BYTES);
    // Connections, hash, chunks held and pieces: 14 or so. One copy of the model left as garbage is 24.
    expect(most).toBeLessThan(20 * CHUNK_BYTES);
    expect(said).toEqual([]);
  });

  it('lets two tabs share one fetch, and refuses to delete what another tab fetches', async () => {
    const other = await openPage();
    const [a, b] = await Promise.all([load(page), load(other)]);
    expect([a.fromStorage, b.fromStorage].sort()).toEqual([false, true]);
    expect(requests.filter((name) => name === WEIGHTS)).toHaveLength(1);
    await other.evaluate((id) => studio.hold(id), MODEL);
    const refused = await page.evaluate((id) => studio.remove(id).catch((e: { code: string }) => e.code), MODEL);
    expect(refused).toBe('model-busy');
    await other.evaluate(() => studio.release());
    await page.evaluate((id) => studio.remove(id), MODEL);
  });

  it('exports into a folder, whole or not at all, and into a zip', async () => {
    const whole = await page.evaluate((id) => studio.exportToFolder(id, false), MODEL);
    expect(whole).toMatchObject({ error: null, folders: ['export'], files: { [WEIGHTS]: hashes[WEIGHTS] } });
    expect(Object.keys(whole.files)).toContain('config.json');
    const failed = await page.evaluate((id) => studio.exportToFolder(id, true), MODEL);
    expect(failed).toEqual({ error: 'lost', folders: ['export'], files: {} });
    expect(await page.evaluate((id) => studio.exportToZip(id), MODEL)).toBeGreaterThan(260032 * 2);
    expect(said).toEqual([]);
  });
});
