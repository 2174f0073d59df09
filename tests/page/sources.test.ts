/** Models from elsewhere: a repository of the Hub, gated or not, and a folder of the visitor's disk. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { repositoryPath } from '../support/files';
import { SIGNED_IN_TOKEN } from '../support/hub/oauth';
import { filesOfFolder } from '../support/hub/repo';
import { type LocalHub, serveHub } from '../support/hub/server';
import { type Site, serveSite } from '../support/site';
import { violations } from './support/axe';
import { launch, type TestBrowser, visit, type Watched } from './support/browser';
import { inOrder } from './support/in-order';
import { jsonl, shortRows } from './support/rows';
import { RUN_MS, StudioPage } from './support/studio';

const STORIES = repositoryPath('public/models/stories-260k');
const GATED = 'someone/gated-stories';
let hub: LocalHub;
let site: Site;
let browser: TestBrowser;
let visited: Watched;
let studio: StudioPage;

inOrder(() => studio?.page);

beforeAll(async () => {
  hub = await serveHub();
  const files = await filesOfFolder(STORIES);
  hub.add('someone/stories', files, { license: 'mit' });
  hub.add(GATED, files, { gated: 'manual' });
  hub.tokens.set('hf_right', new Set([GATED])).set(SIGNED_IN_TOKEN, new Set([GATED]));
  site = await serveSite({ hubUrl: hub.url, clientId: 'a-client' });
  browser = await launch();
  visited = await visit(browser, site.url);
  studio = new StudioPage(visited.page);
  await studio.modelLoaded();
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
  await hub?.close();
});

const button = (name: string | RegExp) => studio.page.getByRole('button', { name });
const source = (name: string) => button(new RegExp(`^${name}$`)).click();
const found = (name: string) => studio.page.getByRole('region', { name, exact: true });

async function lookUp(repo: string): Promise<void> {
  await studio.page.getByLabel('Model on the Hub').fill(repo);
  await button('Look it up').click();
}

/** Waits until the model is the one in use, by the bar that leads on. */
const inUse = (name: string) =>
  studio.page.locator('.next-bar').getByText(name, { exact: true }).waitFor({ timeout: RUN_MS });

async function expectAccessible(): Promise<void> {
  expect(await violations(studio.page)).toEqual([]);
}

async function firstStep(): Promise<void> {
  await studio.drop('pairs.jsonl', jsonl(shortRows(4)));
  await studio.dataRead('pairs.jsonl', 4);
  await studio.holdOut(0);
  await studio.settings({
    max_steps: 1,
    per_device_train_batch_size: 1,
    gradient_accumulation_steps: 1,
    max_prompt_length: 32,
    max_length: 64,
  });
  await studio.start();
  expect(await studio.ended()).toBe('Finished');
  await studio.goTo('Model');
}

describe('a repository of the Hub', () => {
  it('is looked at, fetched with its progress, quantised and trained', { timeout: RUN_MS }, async () => {
    await source('Hugging Face');
    await button('Look up unsloth/Llama-3.2-1B-Instruct-bnb-4bit').waitFor();
    await lookUp('someone/stories');
    const card = found('stories');
    await card.getByText('each file against the hash that its host states').waitFor();
    await card.getByText(/of 8 GB; \d pairs? of/).waitFor();
    expect(await card.getByLabel('Quantise to NF4 while loading').isChecked()).toBe(true);
    expect(hub.filesAsked()).toEqual(['config.json']);
    hub.faults.add({ where: 'cdn' }, { stallAfter: 500_000 });
    await card.getByRole('button', { name: /^Download 1\.1 MB and load$/ }).click();
    await card.getByRole('progressbar', { name: 'Loading stories' }).waitFor();
    await card.getByText(/^model\.safetensors, \d+ % \(4 of 4 files\)$/).waitFor();
    await card.getByRole('button', { name: 'Pause' }).click();
    await card.getByText(/, [\d.]+ kB of it stored$/).waitFor();
    await card.getByRole('button', { name: /^Download 1\.\d MB and load$/ }).click();
    await inUse('stories');
    expect(hub.filesAsked('cdn')).toEqual(['model.safetensors', 'model.safetensors']);
    await studio.page.getByText('F32, quantised to NF4').first().waitFor();
    await firstStep();
    await studio.page.getByRole('article', { name: 'stories' }).getByText('stored in this browser').waitFor();
  });

  it('that is gated tells the Hub’s reason and where to ask, and opens with a token', { timeout: RUN_MS }, async () => {
    hub.log.length = 0;
    await lookUp(GATED);
    const alert = studio.page.getByRole('alert');
    await alert.getByText(`The Hub says: Access to model ${GATED} is restricted.`).waitFor();
    expect(await alert.getByRole('link').getAttribute('href')).toBe(`${hub.url}/${GATED}`);
    await expectAccessible();

    await studio.page.getByLabel('Access token').fill('hf_right');
    await lookUp(GATED);
    await found('gated-stories')
      .getByRole('button', { name: /^Download/ })
      .click();
    await inUse('gated-stories');
    const kept = () => studio.page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
    expect(await kept()).not.toContain('hf_right');
    await studio.page.getByLabel('Remember in this browser').check();
    expect(await kept()).toContain('hf_right');
    await button('Forget').click();
    expect(await kept()).not.toContain('hf_right');
    // The browser asks the CDN by itself, without what was meant for the Hub.
    expect(hub.log.filter(({ where, authorization }) => where === 'cdn' && authorization)).toEqual([]);
  });

  it('that is gated opens after signing in on the Hub', { timeout: RUN_MS }, async () => {
    await button('Sign in with Hugging Face').click();
    await studio.page.waitForURL((url) => url.hash === '#model' && url.search === '');
    await studio.page.getByText(/signed in as a-person, kept until/).waitFor();
    await found('gated-stories').getByText('gated', { exact: true }).waitFor();
    const kept = await studio.page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
    expect(kept).not.toContain(SIGNED_IN_TOKEN);
  });
});

describe('a folder on disk', () => {
  it('is read in place: from a list of its files', { timeout: RUN_MS }, async () => {
    await studio.modelLoaded();
    await studio.page.evaluate(() => Reflect.deleteProperty(window, 'showDirectoryPicker'));
    await source('Folder');
    await studio.page.getByLabel('Choose a folder').setInputFiles(STORIES);
    const card = found('stories-260k');
    await card.getByText('read in place, nothing is copied').waitFor();
    await card.getByRole('button', { name: 'Load', exact: true }).click();
    await inUse('stories-260k');
    await firstStep();
  });

  it('or from a handle, which is known again, until it cannot be read any more', { timeout: RUN_MS }, async () => {
    // The picker is the browser's own window; a private folder of the page behaves as a picked one.
    await studio.page.evaluate(async (base) => {
      const root = await navigator.storage.getDirectory();
      const folder = await root.getDirectoryHandle('mine', { create: true });
      for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors']) {
        const response = await fetch(`${base}models/stories-260k/${name}`);
        const writable = await (await folder.getFileHandle(name, { create: true })).createWritable();
        await writable.write(await response.arrayBuffer());
        await writable.close();
      }
      Object.assign(window, { showDirectoryPicker: async () => folder });
    }, site.url);
    await source('Built in');
    await source('Folder');
    await button('Choose a folder').click();
    await found('mine').getByRole('button', { name: 'Load', exact: true }).click();
    await inUse('mine');
    await studio.page.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      await root.removeEntry('mine', { recursive: true });
    });
    await button('Open mine again').click();
    await studio.page
      .getByRole('alert')
      .getByText(/folder mine .*Choose|folder mine.*choose/)
      .waitFor();
  });
});

it('the tabs are accessible in the dark theme, and fit 1,024 pixels', { timeout: RUN_MS }, async () => {
  await studio.page.emulateMedia({ colorScheme: 'dark' });
  await studio.page.setViewportSize({ width: 1024, height: 768 });
  const beyond = () => studio.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  for (const tab of ['Web address', 'Folder', 'Hugging Face']) {
    await source(tab);
    if (tab === 'Hugging Face') {
      await lookUp('someone/stories');
      await found('stories').waitFor();
    }
    await expectAccessible();
    expect(await beyond(), tab).toBeLessThanOrEqual(0);
  }
});

it('a folder that is dropped anywhere is looked at', async () => {
  await studio.goTo('Data');
  await studio.dropPath(STORIES);
  await found('stories-260k').getByText('read in place, nothing is copied').waitFor();
});

it('no other host was asked, and the console tells of refusals only', () => {
  expect(visited.said.filter((line) => !/Failed to load resource: .* status of 401/.test(line))).toEqual([]);
  const local = [hub.url, hub.cdnUrl, new URL(site.url).origin];
  expect(visited.foreign.filter((address) => !local.some((host) => address.startsWith(host)))).toEqual([]);
});
