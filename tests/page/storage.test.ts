/** What is kept: an adapter of a run that was stopped, and the model over reloads, even when storage goes bad. */
import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { memorySource } from '../../src/formats/bytes';
import { readAdapter } from '../../src/formats/peft';
import type { HParams } from '../../src/train/hparams';
import { relativeL2 } from '../support/close';
import { repositoryPath } from '../support/files';
import { unzip } from '../support/unzip';
import { violations } from './support/axe';
import { baseFiles, trainInNode } from './support/node-run';
import { heard, openForFile } from './support/opened';
import { jsonl, shortRows } from './support/rows';
import { changeChunk, storedHash } from './support/stored-chunk';
import { RUN_MS } from './support/studio';

const ROWS = jsonl(shortRows(6));
const WEIGHTS = 'models/stories-260k/model.safetensors';
const SETTINGS = {
  max_steps: 200,
  per_device_train_batch_size: 1,
  gradient_accumulation_steps: 1,
  max_prompt_length: 32,
  max_length: 64,
};

const opened = openForFile();
let hparams: HParams;
/** Loss of the first step, as logged. */
let firstLoss: number;

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const logged = async (): Promise<{ step: number; loss: number }[]> =>
  text((await opened.studio.download('Download log as JSONL')).bytes)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter((record) => 'loss' in record);

/** Loads the page again, and returns what it asked of the models' folder until the model was there. */
async function reload(): Promise<string[]> {
  opened.site.requests.length = 0;
  await opened.page.reload();
  await opened.studio.modelLoaded();
  return opened.site.requests.filter((path) => path.startsWith('models/') && path !== 'models/index.json');
}

async function weightsHash(): Promise<string> {
  const manifest = await readFile(repositoryPath('public/models/stories-260k/manifest.json'), 'utf8');
  const { files } = JSON.parse(manifest) as { files: { name: string; sha256: string }[] };
  return files.find(({ name }) => name === 'model.safetensors')!.sha256;
}

beforeAll(async () => {
  await opened.studio.modelLoaded();
  await opened.studio.drop('pairs.jsonl', ROWS);
  await opened.studio.dataRead('pairs.jsonl', 6);
  await opened.studio.holdOut(0);
  await opened.studio.settings(SETTINGS);
  hparams = JSON.parse(text((await opened.studio.download('Export settings')).bytes));
});

describe('a run that is stopped', () => {
  it('keeps the adapter as far as it was trained', { timeout: RUN_MS }, async () => {
    await opened.studio.start();
    await expect
      .poll(() => opened.studio.progress, { timeout: RUN_MS, interval: 50 })
      .toMatch(/^[2-9]\d* \/ 200 steps/);
    await opened.page.getByRole('button', { name: 'Stop and keep' }).click();
    expect(await opened.studio.ended()).toBe('Stopped');
    const steps = Number(/^(\d+) \/ 200 steps/.exec((await opened.studio.progress)!)![1]);
    expect(steps).toBeGreaterThanOrEqual(2);
    expect(steps).toBeLessThan(200);
    await opened.page.getByText('the adapter is kept', { exact: true }).waitFor();

    await opened.page.getByRole('button', { name: 'Continue to export' }).click();
    const log = await logged();
    expect(log.map(({ step }) => step)).toEqual(Array.from({ length: steps }, (_, i) => i + 1));
    firstLoss = log[0].loss;
    const { bytes } = await opened.studio.download('Download adapter as zip');
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
    await opened.studio.settings({ max_steps: 2 });
    await opened.page.getByRole('complementary', { name: 'Plan of the run' }).getByText(/^2 \(/).waitFor();
    await opened.studio.start();
    expect(await opened.studio.ended()).toBe('Finished');
    await opened.studio.goTo('Export');
    expect((await logged()).map(({ step }) => step)).toEqual([1, 2]);
  });
});

describe('the model in storage', () => {
  it('is there after a reload, without network', async () => {
    expect(await reload()).toEqual([]);
    await opened.studio.goTo('Model');
    await opened.page.getByText('stored in this browser').waitFor();
  });

  it('is fetched again where it has changed, and what changed is never used', { timeout: RUN_MS }, async () => {
    const good = await weightsHash();
    expect(await storedHash(opened.page, 'stories-260k', 'model.safetensors')).toBe(good);
    await changeChunk(opened.page, 'stories-260k', 'model.safetensors', 'flip');
    expect(await storedHash(opened.page, 'stories-260k', 'model.safetensors')).not.toBe(good);
    expect(await reload()).toEqual([WEIGHTS]);
    expect(await storedHash(opened.page, 'stories-260k', 'model.safetensors')).toBe(good);

    await opened.studio.drop('pairs.jsonl', ROWS);
    await opened.studio.dataRead('pairs.jsonl', 6);
    await opened.studio.settings({ max_steps: 1 });
    await opened.page.getByRole('complementary', { name: 'Plan of the run' }).getByText(/^1 \(/).waitFor();
    await opened.studio.start();
    expect(await opened.studio.ended()).toBe('Finished');
    await opened.studio.goTo('Export');
    expect((await logged())[0].loss).toBe(firstLoss);
  });

  it('is fetched again where it was cut short or is lost', async () => {
    for (const damage of ['cut', 'lose'] as const) {
      await changeChunk(opened.page, 'stories-260k', 'model.safetensors', damage);
      expect(await reload(), damage).toEqual([WEIGHTS]);
      expect(await storedHash(opened.page, 'stories-260k', 'model.safetensors'), damage).toBe(await weightsHash());
      expect(await reload(), damage).toEqual([]);
    }
  });

  it('goes when the visitor deletes it, and comes again when asked for', async () => {
    await opened.studio.goTo('Model');
    await opened.page.getByRole('button', { name: /^Delete .*260.* from storage$/i }).click();
    await opened.page.getByRole('dialog').getByRole('button', { name: 'Delete from storage' }).click();
    await expect.poll(() => opened.page.getByText('stored in this browser').count()).toBe(0);
    expect(await reload()).toContain(WEIGHTS);
  });
});

describe('the storage page', () => {
  const row = (name: RegExp) => opened.page.getByRole('row', { name });

  it('lists models and runs with their sizes, and says how fast storage is', { timeout: RUN_MS }, async () => {
    await opened.page.getByRole('button', { name: 'Storage', exact: true }).click();
    await opened.page.getByRole('heading', { level: 1, name: 'Storage' }).waitFor();
    await expect.poll(() => row(/^Stories 260K .* Model 1\.1 MB complete IndexedDB/).count()).toBe(1);
    expect(await row(/ Run /).count()).toBeGreaterThan(0);
    await opened.page.getByText('not measured yet').first().waitFor();
    await opened.page.getByRole('button', { name: 'Measure now' }).click();
    await expect.poll(() => opened.page.getByText(/^reads .*B\/s, writes .*B\/s/).count()).toBe(2);
    expect(await opened.page.getByText('new models go here').count()).toBe(1);
    for (const colorScheme of ['light', 'dark'] as const) {
      await opened.page.emulateMedia({ colorScheme });
      await opened.page.waitForFunction(() => document.getAnimations().every((a) => a.playState !== 'running'));
      expect(await violations(opened.page)).toEqual([]);
    }
  });

  it('deletes a model and a run after a question', async () => {
    const answer = (name: string) => opened.page.getByRole('dialog').getByRole('button', { name }).click();
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
    await opened.page.getByRole('button', { name: 'Delete Stories 260K', exact: true }).click();
    await answer('Delete from storage');
    await expect.poll(() => row(/^Stories 260K .* Model /).count()).toBe(0);
    await opened.studio.goTo('Model');
    await opened.page.getByText('not stored yet').first().waitFor();
  });
});

it('all of this leaves the console empty and other hosts alone', () => {
  expect(heard(opened)).toEqual([]);
});
