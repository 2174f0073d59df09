/** The first load, the page without network after it, and how a new version of it comes. */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { repositoryPath } from '../support/files';
import { type Site, serveSite } from '../support/site';
import { launch, quiet, type TestBrowser, visit, type Watched } from './support/browser';
import { firstScripts, noteInteractive } from './support/first-load';
import { inOrder } from './support/in-order';
import { shot } from './support/shots';
import { RUN_MS, StudioPage } from './support/studio';

const BUILT = process.env.STUDIO_DIST ?? repositoryPath('dist');
const MOST_GZIPPED = 250_000;
const MOST_MS = 1500;
const SETTINGS = {
  max_steps: 2,
  per_device_train_batch_size: 1,
  gradient_accumulation_steps: 1,
  max_prompt_length: 32,
  max_length: 64,
};

/** A copy of the built page, so that a test may publish another version of it. */
let folder: string;
let site: Site;
let browser: TestBrowser;
let visited: Watched;
let studio: StudioPage;

const stored = (page: Page) =>
  page.evaluate(async () => {
    const names = await caches.keys();
    const requests = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
    return requests.flat().map(({ url }) => new URL(url).pathname.replace(new URL('.', document.baseURI).pathname, ''));
  });

/** Puts another version of the page in the place of the one that the site serves. */
async function publish(version: string): Promise<void> {
  const change = async (name: string, from: RegExp, to: string) => {
    const before = await readFile(join(folder, name), 'utf8');
    const after = before.replace(from, to);
    expect(after, name).not.toBe(before);
    await writeFile(join(folder, name), after);
  };
  await change('index.html', /<title>/u, `<meta name="version" content="${version}" /><title>`);
  await change('service-worker.js', /(index\.html[`'"],\s*["']?revision["']?:\s*[`'"])\w+/u, `$1${version}`);
}

inOrder(() => studio?.page);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'orpo-site-'));
  await cp(BUILT, folder, { recursive: true });
  site = await serveSite({ folder });
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
  await rm(folder, { recursive: true });
});

describe('the first load', () => {
  it(`has fewer than ${MOST_GZIPPED} bytes of gzipped script before the worker's parts`, async () => {
    const scripts = await firstScripts(BUILT);
    expect([...scripts.keys()].some((name) => /^assets\/index-/.test(name))).toBe(true);
    const bytes = [...scripts.values()].reduce((a, b) => a + b);
    expect(bytes, JSON.stringify([...scripts])).toBeLessThan(MOST_GZIPPED);
  });

  it(`can be used within ${MOST_MS} ms`, async () => {
    const times: number[] = [];
    // Other work on the machine may be in the way of one; each is a first visit.
    while (times.length < 5 && !times.some((ms) => ms < MOST_MS)) {
      const { context, page } = await visit(browser, site.url, { init: noteInteractive });
      const at = await page.waitForFunction(() => (window as unknown as { interactiveAt?: number }).interactiveAt);
      times.push((await at.jsonValue())!);
      await context.close();
    }
    expect(Math.min(...times), String(times)).toBeLessThan(MOST_MS);
  });
});

describe('after the first visit, without network', () => {
  it('keeps all that the page is made of, and no model twice', async () => {
    visited = await visit(browser, site.url, { serviceWorker: true });
    studio = new StudioPage(visited.page);
    const { page } = studio;
    await studio.modelLoaded();
    await page.getByRole('button', { name: 'Storage', exact: true }).click();
    const card = page.getByRole('region', { name: 'Without network' });
    await card.getByText('This page is kept in this browser.').waitFor();
    await shot(page, 'storage');
    const kept = await stored(page);
    const made = (await readdir(join(BUILT, 'assets'))).map((name) => `assets/${name}`);
    expect(kept).toEqual(expect.arrayContaining([...made, 'index.html', 'models/index.json', 'data/index.json']));
    expect(kept.filter((path) => path.startsWith('models/'))).toEqual(['models/index.json']);
  });

  it('is what browsers install: a manifest whose icons are there', async () => {
    const manifest = JSON.parse(await readFile(join(BUILT, 'manifest.webmanifest'), 'utf8'));
    expect(manifest).toMatchObject({ start_url: './', scope: './', display: 'standalone' });
    const cdp = await visited.context.newCDPSession(visited.page);
    const { errors, data } = await cdp.send('Page.getAppManifest');
    expect(errors).toEqual([]);
    expect(JSON.parse(data!)).toEqual(manifest);
    const { installabilityErrors } = await cdp.send('Page.getInstallabilityErrors');
    // A context of a test is a private window.
    expect(installabilityErrors.filter(({ errorId }) => errorId !== 'in-incognito')).toEqual([]);
  });

  it('a new version is offered when no run is under way, and waits for other tabs', { timeout: RUN_MS }, async () => {
    const { page } = studio;
    const version = page.locator('meta[name="version"]');
    const offer = page.getByRole('status').filter({ hasText: 'A new version of this page is ready.' });
    await studio.settings({ ...SETTINGS, max_steps: 400 });
    await page
      .getByRole('complementary', { name: 'Plan of the run' })
      .getByText(/^400 \(/)
      .waitFor();
    await studio.start();
    await expect.poll(() => studio.progress, { timeout: RUN_MS, interval: 50 }).toMatch(/^\d+ \/ 400 steps/);
    await publish('2');
    const waits = () =>
      page.evaluate(async () => {
        const registration = (await navigator.serviceWorker.getRegistration())!;
        await registration.update();
        return registration.waiting !== null;
      });
    await expect.poll(waits).toBe(true);
    expect(await offer.count()).toBe(0);
    await page.getByRole('button', { name: 'Stop and keep' }).click();
    expect(await studio.ended()).toBe('Stopped');
    await offer.waitFor();
    expect(await version.count()).toBe(0);

    expect(quiet(visited, browser)).toEqual([]);
    const tab = await visited.context.newPage();
    await tab.goto(`${site.url}icon.svg`);
    await offer.getByRole('button', { name: 'Reload' }).click();
    const waiting = page.getByRole('status').filter({ hasText: 'waits for 1 other tab of this page' });
    await waiting.waitFor();
    await shot(page, 'version');
    expect(await version.count()).toBe(0);
    await tab.close();
    // A picture in a tab of its own has the browser ask for an icon that is not there.
    visited.said.length = 0;
    await waiting.getByRole('button', { name: 'Reload' }).click();
    await version.waitFor({ state: 'attached' });
    await studio.modelLoaded();
  });

  it('opens and trains a stored model', { timeout: RUN_MS }, async () => {
    const { page } = studio;
    const { url } = site;
    await site.close();
    await visited.context.setOffline(true);
    await page.goto(url);
    await studio.modelLoaded();
    await studio.settings(SETTINGS);
    await page.getByRole('complementary', { name: 'Plan of the run' }).getByText(/^2 \(/).waitFor();
    await studio.start();
    expect(await studio.ended()).toBe('Finished');
    expect(await studio.progress).toMatch(/^2 \/ 2 steps/);
    await page.getByRole('figure', { name: 'Loss', exact: true }).locator('path.curve').first().waitFor();
    await studio.goTo('Evaluate');
    await page.getByRole('checkbox', { name: /COPA/i }).waitFor();
    expect(quiet(visited, browser)).toEqual([]);
    await visited.context.close();
  });
});
