/** What is kept: an adapter of a run that was stopped, and the model over reloads, even when storage goes bad. */
import { readFile } from 'node:fs/promises';
import AxeBuilder from '@axe-core/playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memorySource } from '../../src/formats/bytes';
import { readAdapter } from '../../src/formats/peft';
import type { HParams } from '../../src/train/hparams';
import { relativeL2 } from '../support/close';
import { repositoryPath } from '../support/files';
import { type Site, serveSite } from '../support/site';
import { unzip } from '../support/unzip';
import { launch, quiet, type TestBrowser, visit, type Watched } from './support/browser';
import { inOrder } from './support/in-order';
import { baseFiles, trainInNode } from './support/node-run';
import { jsonl, shortRows } from './support/rows';
import { changeChunk, storedHash } from './support/stored-chunk';
import { RUN_MS, StudioPage } from './support/studio';

const ROWS = jsonl(shortRows(6));
const WEIGHTS = 'models/stories-260k/model.safetensors';
const SETTINGS = {
  max_steps: 200,
  per_device_train_batch_size: 1,
  gradient_accumulation_steps: 1,
  max_prompt_length: 32,
  max_length: 64,
};

let site: Site;
let browser: TestBrowser;
let visited: Watched;
let studio: StudioPage;
let hparams: HParams;
/** Loss of the first step, as logged. */
let firstLoss: number;

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const logged = async (): Promise<{ step: number; loss: number }[]> =>
  text((await studio.download('Download log as JSONL')).bytes)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter((record) => 'loss' in record);

/** Loads the page again, and returns what it asked of the models' folder until the model was there. */
async function reload(): Promise<string[]> {
  site.requests.length = 0;
  await visited.page.reload();
  await studio.modelLoaded();
  return site.requests.filter((path) => path.startsWith('models/') && path !== 'models/index.json');
}

async function weightsHash(): Promise<string> {
  const manifest = await readFile(repositoryPath('public/models/stories-260k/manifest.json'), 'utf8');
  const { files } = JSON.parse(manifest) as { files: { name: string; sha256: string }[] };
  return files.find(({ name }) => name === 'model.safetensors')!.sha256;
}

inOrder(() => studio?.page);

beforeAll(async () => {
  site = await serveSite();
  browser = await launch();
  visited = await visit(browser, site.url);
  studio = new StudioPage(visited.page);
  await studio.modelLoaded();
  await studio.drop('pairs.jsonl', ROWS);
  await studio.dataRead('pairs.jsonl', 6);
  await studio.holdOut(0);
  await studio.settings(SETTINGS);
  hparams = JSON.parse(text((await studio.download('Export settings')).bytes));
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});

describe('a run that is stopped', () => {
  it('keeps the adapter as far as it was trained', { timeout: RUN_MS }, async () => {
    await studio.start();
    await expect.poll(() => studio.progress, { timeout: RUN_MS, interval: 50 }).toMatch(/^[2-9]\d* \/ 200 steps/);
    await studio.page.getByRole('button', { name: 'Stop and keep' }).click();
    expect(await studio.ended()).toBe('Stopped');
    const steps = Number(/^(\d+) \/ 200 steps/.exec((await studio.progress)!)![1]);
    expect(steps).toBeGreaterThanOrEqual(2);
    expect(steps).toBeLessThan(200);
    await studio.page.getByText('the adapter is kept', { exact: true }).waitFor();

    await studio.page.getByRole('button', { name: 'Continue to export' }).click();
    const log = await logged();
    expect(log.map(({ step }) => step)).toEqual(Array.from({ length: steps }, (_, i) => i + 1));
    firstLoss = log[0].loss;
    const { bytes } = await studio.download('Download adapter as zip');
    const file = unzip(bytes).get('stories-260k-orpo-adapter/adapter_model.safetensors')!;
    const adapter = await readAdapter(memorySource(file));

    // As many steps under Node give the same adapter: none is lost, and none is half done.
    const run = { files: await baseFiles(), rows: ROWS, evalFraction: 0, hparams };
    const node = await trainInNode(run, steps);
    expect(node.steps).toHaveLength(steps);
    expect([...adapter.keys()].sort()).toEqual([...node.adapter.keys()].sort());
    for (const [name, { values }] of adapter) {
      expect(relativeL2(values, node.adapter.get(name)!.values), name).toBeLessThan(1e-5);
    }
  });

  it('can be followed by another', { timeout: RUN_MS }, async () => {
    await studio.settings({ max_steps: 2 });
    await studio.page.getByRole('complementary', { name: 'Plan of the run' }).getByText(/^2 \(/).waitFor();
    await studio.start();
    expect(await studio.ended()).toBe('Finished');
    await studio.goTo('Export');
    expect((await logged()).map(({ step }) => step)).toEqual([1, 2]);
  });
});

describe('the model in storage', () => {
  it('is there after a reload, without network', async () => {
    expect(await reload()).toEqual([]);
    await studio.goTo('Model');
    await studio.page.getByText('stored in this browser').waitFor();
  });

  it('is fetched again where it has changed, and what changed is never used', { timeout: RUN_MS }, async () => {
    const good = await weightsHash();
    expect(await storedHash(visited.page, 'stories-260k', 'model.safetensors')).toBe(good);
    await changeChunk(visited.page, 'stories-260k', 'model.safetensors', 'flip');
    expect(await storedHash(visited.page, 'stories-260k', 'model.safetensors')).not.toBe(good);
    expect(await reload()).toEqual([WEIGHTS]);
    expect(await storedHash(visited.page, 'stories-260k', 'model.safetensors')).toBe(good);

    await studio.drop('pairs.jsonl', ROWS);
    await studio.dataRead('pairs.jsonl', 6);
    await studio.settings({ max_steps: 1 });
    await studio.page.getByRole('complementary', { name: 'Plan of the run' }).getByText(/^1 \(/).waitFor();
    await studio.start();
    expect(await studio.ended()).toBe('Finished');
    await studio.goTo('Export');
    expect((await logged())[0].loss).toBe(firstLoss);
  });

  it('is fetched again where it was cut short or is lost', async () => {
    for (const damage of ['cut', 'lose'] as const) {
      await changeChunk(visited.page, 'stories-260k', 'model.safetensors', damage);
      expect(await reload(), damage).toEqual([WEIGHTS]);
      expect(await storedHash(visited.page, 'stories-260k', 'model.safetensors'), damage).toBe(await weightsHash());
      expect(await reload(), damage).toEqual([]);
    }
  });

  it('goes when the visitor deletes it, and comes again when asked for', async () => {
    await studio.goTo('Model');
    await studio.page.getByRole('button', { name: /^Delete .*260.* from storage$/i }).click();
    await studio.page.getByRole('dialog').getByRole('button', { name: 'Delete from storage' }).click();
    await expect.poll(() => studio.page.getByText('stored in this browser').count()).toBe(0);
    expect(await reload()).toContain(WEIGHTS);
  });
});

describe('the storage page', () => {
  const row = (name: RegExp) => studio.page.getByRole('row', { name });

  it('lists models and runs with their sizes, and says how fast storage is', { timeout: RUN_MS }, async () => {
    await studio.page.getByRole('button', { name: 'Storage', exact: true }).click();
    await studio.page.getByRole('heading', { level: 1, name: 'Storage' }).waitFor();
    await expect.poll(() => row(/^Stories 260K .* Model 1\.1 MB complete IndexedDB/).count()).toBe(1);
    expect(await row(/ Run /).count()).toBeGreaterThan(0);
    await studio.page.getByText('not measured yet').first().waitFor();
    await studio.page.getByRole('button', { name: 'Measure now' }).click();
    await expect.poll(() => studio.page.getByText(/^reads .*B\/s, writes .*B\/s/).count()).toBe(2);
    expect(await studio.page.getByText('new models go here').count()).toBe(1);
    for (const colorScheme of ['light', 'dark'] as const) {
      await studio.page.emulateMedia({ colorScheme });
      await studio.page.waitForFunction(() => document.getAnimations().every((a) => a.playState !== 'running'));
      expect((await new AxeBuilder({ page: studio.page }).analyze()).violations.map(({ id }) => id)).toEqual([]);
    }
  });

  it('deletes a model and a run after a question', async () => {
    const answer = (name: string) => studio.page.getByRole('dialog').getByRole('button', { name }).click();
    const runs = await row(/ Run /).count();
    await row(/ Run /)
      .first()
      .getByRole('button', { name: /^Delete / })
      .click();
    await answer('Keep it');
    expect(await row(/ Run /).count()).toBe(runs);
    await row(/ Run /)
      .first()
      .getByRole('button', { name: /^Delete / })
      .click();
    await answer('Delete from storage');
    await expect.poll(() => row(/ Run /).count()).toBe(runs - 1);
    await studio.page.getByRole('button', { name: 'Delete Stories 260K', exact: true }).click();
    await answer('Delete from storage');
    await expect.poll(() => row(/^Stories 260K .* Model /).count()).toBe(0);
    await studio.goTo('Model');
    await studio.page.getByText('not stored yet').first().waitFor();
  });
});

it('all of this leaves the console empty and other hosts alone', () => {
  expect(quiet(visited, browser)).toEqual([]);
});
