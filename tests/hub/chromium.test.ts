/** The way from the Hub in real Chromium: other origins, their hidden headers, and a tab that is closed. */
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CHUNK_BYTES } from '../../src/storage/store';
import { LAUNCH } from '../support/chromium';
import { bundle, type HarnessSite, serveHarness } from '../support/harness-site';
import type { Fetching } from '../support/hub/fetch-page';
import { type LocalHub, serveHub } from '../support/hub/server';
import { tinyRepository, weightsOf } from '../support/hub/tiny';
import { sha256 } from '../support/model-server';

declare const fetching: Fetching;

const WEIGHTS = 'model.safetensors';
const weights = weightsOf(8);
let hub: LocalHub;
let site: HarnessSite;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  hub = await serveHub();
  hub.add('someone/gated', tinyRepository({ [WEIGHTS]: weights }), { gated: 'manual' });
  hub.tokens.set('hf_right', new Set(['someone/gated']));
  const [harness, worker] = await Promise.all([bundle('hub/fetch-page.ts'), bundle('hub/fetch-worker.ts')]);
  site = await serveHarness({ 'harness.js': harness, 'worker.js': worker });
  browser = await chromium.launch(LAUNCH);
});
afterAll(async () => {
  await browser?.close();
  site?.close();
  await hub?.close();
});
beforeEach(() => {
  hub.log.length = 0;
  hub.faults.clear();
});

async function openTab(): Promise<void> {
  const context = page?.context() ?? (await browser.newContext());
  page = await context.newPage();
  await page.goto(site.origin);
  await page.waitForFunction(() => 'fetching' in window);
}
const start = (token?: string) =>
  page.evaluate((request) => fetching.start(request), {
    hubUrl: hub.url,
    repo: 'someone/gated',
    token,
    file: WEIGHTS,
  });
const ended = async () => {
  await page.waitForFunction(() => fetching.heard.end !== null, null, { timeout: 100_000 });
  return page.evaluate(() => fetching.heard.end!);
};

describe('in Chromium', () => {
  it('a refusal is told in the Hub’s own words, which come in headers', async () => {
    await openTab();
    await start();
    expect(await ended()).toMatchObject({
      kind: 'failed',
      code: 'hub-no-access',
      message: expect.stringMatching(/^The Hub says: Access to model someone\/gated is restricted\./),
    });
  });

  it('a tab closed at 30 % goes on later, and the token stays with the Hub', async () => {
    hub.faults.add({ where: 'cdn', times: 2 }, { stallAfter: 6e6 });
    await start('hf_right');
    await page.waitForFunction(() => fetching.heard.share > 0.3, null, { timeout: 100_000 });
    // Both connections have stalled by now; a chunk that has come whole may still be on its way into storage.
    await page.waitForTimeout(2_000);
    const context = page.context();
    await page.close({ runBeforeUnload: false });
    hub.log.length = 0;
    hub.faults.clear();
    page = await context.newPage();
    await page.goto(site.origin);
    await page.waitForFunction(() => 'fetching' in window);
    await start('hf_right');
    expect(await ended()).toEqual({ kind: 'done', sha256: sha256(weights) });
    // Whole chunks are kept, and none of them is fetched again.
    expect(hub.sent(WEIGHTS)).toBeLessThanOrEqual(weights.length - 2 * CHUNK_BYTES);
    const begins = hub.filesAsked('cdn').map((asked) => Number(/bytes=(\d+)-/u.exec(asked)?.[1]));
    expect(begins.every((begin) => begin % CHUNK_BYTES === 0)).toBe(true);
    const cdn = hub.log.filter(({ where }) => where === 'cdn');
    expect(cdn.length).toBeGreaterThan(0);
    expect(cdn.filter(({ authorization }) => authorization)).toEqual([]);
    expect(hub.log.filter(({ where }) => where === 'hub').every(({ authorization }) => authorization)).toBe(true);
  });
});
