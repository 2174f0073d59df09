/** Exports on the built page in Chromium beyond the usual: GGUF, upload to the Hub, and places that cannot be written. */
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gguf } from '@huggingface/gguf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serializeSafetensorsHeader } from '../../src/formats/safetensors';
import { type LocalHub, serveHub } from '../support/hub/server';
import { acceptUploads, type UploadSide } from '../support/hub/upload';
import { type Site, serveSite } from '../support/site';
import { unzip } from '../support/unzip';
import { launch, type TestBrowser, visit, type Watched } from './support/browser';
import { inOrder } from './support/in-order';
import { chooseOwnFolder } from './support/own-folder';
import { jsonl, shortRows } from './support/rows';
import { RUN_MS, StudioPage } from './support/studio';

let hub: LocalHub;
let side: UploadSide;
let site: Site;
let browser: TestBrowser;
let visited: Watched;
let studio: StudioPage;

const card = (name: string) => studio.page.getByRole('region', { name, exact: true });
const alertText = (part: RegExp) => studio.page.getByRole('alert').filter({ hasText: part });
const dismiss = async () => {
  const close = studio.page.getByRole('alert').getByRole('button', { name: /dismiss|close/i });
  while (await close.count()) await close.first().click();
};

inOrder(() => studio?.page);

beforeAll(async () => {
  hub = await serveHub();
  side = acceptUploads(hub);
  side.writers.set('hf_writer', 'me');
  site = await serveSite({ hubUrl: hub.url });
  browser = await launch();
  visited = await visit(browser, site.url, { init: chooseOwnFolder });
  studio = new StudioPage(visited.page);
  await studio.modelLoaded();
  await studio.drop('pairs.jsonl', jsonl(shortRows(4)));
  await studio.dataRead('pairs.jsonl', 4);
  await studio.holdOut(0);
  await studio.settings({ max_steps: 1, gradient_accumulation_steps: 1, max_prompt_length: 32, max_length: 64 });
  await studio.start();
  expect(await studio.ended()).toBe('Finished');
  await studio.goTo('Export');
}, RUN_MS);
afterAll(async () => {
  await browser?.close();
  await site?.close();
  await hub?.close();
});

describe('sizes and formats', () => {
  it('tells sizes before anything is written', async () => {
    // 260,032 weights of two bytes; Q8_0 has 34 bytes for 32 of most of them.
    await card('Merged model').getByText('520 kB of weights in 1 file', { exact: true }).waitFor();
    await studio.page.getByLabel(/^F32/).check();
    await card('Merged model').getByText('1.0 MB of weights in 1 file', { exact: true }).waitFor();
    await card('GGUF file')
      .getByText(/^345 kB of weights in 1 file$/)
      .waitFor();
  });

  it('writes a GGUF file with its Modelfile', async () => {
    const { name, bytes } = await studio.download('Download GGUF file as zip');
    expect(name).toBe('stories-260k-orpo-gguf.zip');
    const files = unzip(bytes);
    const folder = 'stories-260k-orpo-gguf/';
    expect([...files.keys()]).toEqual(['stories-260k-orpo-Q8_0.gguf', 'README.md', 'Modelfile'].map((f) => folder + f));
    const path = join(tmpdir(), `orpo-page-${process.pid}.gguf`);
    await writeFile(path, files.get(`${folder}stories-260k-orpo-Q8_0.gguf`)!);
    const { metadata, tensorInfos } = await gguf(path, { allowLocalFile: true });
    expect(metadata).toMatchObject({ 'general.architecture': 'llama', 'llama.block_count': 5 });
    expect(tensorInfos).toHaveLength(5 * 9 + 2);
  });
});

describe('upload to the Hub', () => {
  const form = () => card('Merged model');

  it('takes name and token, and makes one commit', async () => {
    await form().getByText('Hugging Face repository').click();
    await form().getByLabel('Repository', { exact: true }).fill('me/stories-tuned');
    await form()
      .getByLabel(/^Access token/)
      .fill('hf_writer');
    await form().getByRole('button', { name: 'Upload merged model' }).click();
    await form()
      .getByText(/in me\/stories-tuned$/)
      .waitFor();
    const repo = hub.repos.get('me/stories-tuned')!;
    const files = repo.commits.get(repo.refs.get('main')!)!;
    expect([...files.keys()].toSorted()).toEqual([
      ...['.gitattributes', 'README.md', 'config.json', 'generation_config.json'],
      ...['model.safetensors', 'tokenizer.json', 'tokenizer_config.json'],
    ]);
    const weights = files.get('model.safetensors')!;
    const { size } = serializeSafetensorsHeader([{ name: 'x', dtype: 'F32', shape: [260_032] }]);
    expect(weights.size).toBeGreaterThan(size);
    expect([side.commits.length, repo.options.private]).toEqual([1, true]);
    await form().locator('.written summary').click();
    const link = form().getByRole('link', { name: 'Open the repository' });
    expect(await link.getAttribute('href')).toBe(`${hub.url}/me/stories-tuned`);
    // Nothing stays in the browser's storage.
    const left = await studio.page.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      const names: string[] = [];
      const spool = await root.getDirectoryHandle('upload-spool');
      for await (const name of spool.keys()) names.push(name);
      return names;
    });
    expect(left).toEqual([]);
  });

  it('says what to do when the Hub refuses the token', async () => {
    await form()
      .getByLabel(/^Access token/)
      .fill('hf_wrong');
    await form().getByRole('button', { name: 'Upload merged model' }).click();
    await alertText(/The Hub does not take this access token\. Make one with write access/).waitFor();
    await dismiss();
    await form()
      .getByLabel(/^Access token/)
      .fill('hf_writer');
  });

  it('can be cancelled, and leaves the repository as it was', async () => {
    let release = () => {};
    side.hold = new Promise((resolve) => {
      release = resolve;
    });
    side.objects.clear();
    await form().getByLabel('Repository', { exact: true }).fill('me/never');
    await form().getByRole('button', { name: 'Upload merged model' }).click();
    await form()
      .getByText(/^.*uploading model\.safetensors$/)
      .waitFor();
    await form().getByRole('button', { name: 'Cancel export' }).click();
    await studio.page
      .getByTestId('announcements')
      .getByText('The export was cancelled.')
      .waitFor({ state: 'attached' });
    release();
    side.hold = null;
    const repo = hub.repos.get('me/never')!;
    expect([...repo.commits.get(repo.refs.get('main')!)!.keys()]).toEqual(['.gitattributes']);
    expect(await studio.page.getByRole('alert').count()).toBe(0);
    expect(await form().getByRole('button', { name: 'Upload merged model' }).isEnabled()).toBe(true);
  });
});

describe('a place that cannot be written', () => {
  /** What lies in the chosen folder. */
  const chosen = () =>
    studio.page.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      const names: string[] = [];
      const folder = await root.getDirectoryHandle('chosen', { create: true });
      for await (const name of folder.keys()) names.push(name);
      return names;
    });

  it('because the disk is full: says so, and leaves nothing', async () => {
    const cdp = await visited.context.newCDPSession(visited.page);
    const { origin } = new URL(site.url);
    const { usage } = await cdp.send('Storage.getUsageAndQuota', { origin });
    await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: usage + 300_000 });
    await studio.page.getByRole('button', { name: 'Save merged model to a folder' }).click();
    await alertText(/The disk of this folder is full.*Free space there, or choose a folder on another disk/).waitFor();
    expect(await chosen()).toEqual([]);
    await dismiss();
    await cdp.send('Storage.overrideQuotaForOrigin', { origin });
    await cdp.detach();
  });

  it('because the folder is gone: says so, and works again with another', async () => {
    await studio.page.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      const folder = await root.getDirectoryHandle('gone', { create: true });
      await root.removeEntry('gone');
      const usual = (window as unknown as { showDirectoryPicker: () => unknown }).showDirectoryPicker;
      let first = true;
      Object.assign(window, {
        showDirectoryPicker: async () => {
          if (!first) return usual();
          first = false;
          return folder;
        },
      });
    });
    await studio.page.getByRole('button', { name: 'Save merged model to a folder' }).click();
    await alertText(/was moved, removed or is used by another program.*Choose a folder again/).waitFor();
    await dismiss();
    await studio.page.getByRole('button', { name: 'Save merged model to a folder' }).click();
    await studio.page.getByText(/folder “chosen”$/).waitFor();
    expect(await chosen()).toEqual(['stories-260k-orpo']);
  });
});
