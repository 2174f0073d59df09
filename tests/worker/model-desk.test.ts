/** Where models come from, as the engine thread has it: looked at first, then brought into storage or read in place. */
import 'fake-indexeddb/auto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readJson } from '../../src/formats/bytes';
import { CURATED } from '../../src/hub/curated';
import { parseConfig } from '../../src/model/config';
import { KNOWN_CONFIGS } from '../../src/model/known-configs';
import { IndexedDbModelStore } from '../../src/storage/indexed-db';
import { curatedModels, publishedBytes } from '../../src/worker/curated';
import { ModelDesk } from '../../src/worker/model-desk';
import type { ModelProgress, ModelSource } from '../../src/worker/protocol';
import { repositoryPath } from '../support/files';
import { filesOf, filesOfFolder } from '../support/hub/repo';
import { type LocalHub, serveHub } from '../support/hub/server';
import { LLAMA_CONFIG, tinyRepository, weightsOf } from '../support/hub/tiny';

const STORIES = repositoryPath('public/models/stories-260k');
let hub: LocalHub;
let store: IndexedDbModelStore;
let desk: ModelDesk;
let reports: ModelProgress[];
let databases = 0;

const repository = (name: string, revision = 'main'): ModelSource => ({
  kind: 'hub',
  repo: `someone/${name}`,
  revision,
});

beforeAll(async () => {
  hub = await serveHub();
  hub.add('someone/stories', await filesOfFolder(STORIES), { license: 'mit' });
  hub.add('someone/slow', tinyRepository({ 'model.safetensors': weightsOf(2) }));
});
afterAll(() => hub.close());
beforeEach(() => {
  hub.log.length = 0;
  hub.faults.clear();
  reports = [];
  store = new IndexedDbModelStore(`model-desk-${++databases}`);
  desk = new ModelDesk({
    store,
    places: () => ({ modelsUrl: `${hub.url}/models`, hubUrl: hub.url }),
    onProgress: (progress) => reports.push(progress),
  });
});

describe('a look at a source', () => {
  it('tells what there is and fetches no weights', async () => {
    const preview = await desk.handlers.inspectModel({ source: repository('stories') });
    expect(preview).toMatchObject({
      id: 'someone/stories',
      title: 'stories',
      parameters: 260032,
      layers: 5,
      format: 'F32',
      quantizable: true,
      license: 'mit',
      gated: false,
      checked: 'source',
      storedBytes: 0,
      page: `${hub.url}/someone/stories`,
      commit: hub.repos.get('someone/stories')!.refs.get('main'),
    });
    expect(preview.files.map(({ name }) => name)).toContain('model.safetensors');
    expect(hub.filesAsked()).toEqual(['config.json']);
    expect(await store.list()).toEqual([]);
  });

  it.each([
    ['windowed', { model_type: 'mistral', sliding_window: 4096 }, 'unsupported-model', /sliding window/],
    ['qwen', { model_type: 'qwen2' }, 'unsupported-model', /qwen2/],
    ['gptq', { quantization_config: { quant_method: 'gptq' } }, 'unsupported-quantization', /quantised as gptq/],
  ])('refuses %s by its config.json, before any download', async (name, config, code, message) => {
    const files = filesOf({ 'config.json': JSON.stringify({ ...LLAMA_CONFIG, ...config }), 'model.safetensors': 'x' });
    hub.add(`someone/${name}`, files);
    const refused = { code, message: expect.stringMatching(message) };
    await expect(desk.handlers.inspectModel({ source: repository(name) })).rejects.toMatchObject(refused);
    await expect(desk.open({ source: repository(name) }, async () => {})).rejects.toMatchObject(refused);
    expect(hub.filesAsked().filter((file) => file !== 'config.json')).toEqual([]);
    expect(await store.list()).toEqual([]);
  });

  it('of a folder on disk reads its sizes and copies nothing', async () => {
    const names = ['config.json', 'tokenizer.json', 'model.safetensors'];
    const files = await Promise.all(names.map(async (name) => new File([await readFile(`${STORIES}/${name}`)], name)));
    const source: ModelSource = { kind: 'files', name: 'mine', files: [...files, new File(['x'], 'notes.txt')] };
    const preview = await desk.handlers.inspectModel({ source });
    expect(preview).toMatchObject({ id: 'mine', parameters: 260032, checked: 'none', commit: null });
    expect(preview.files.map(({ name }) => name).sort()).toEqual([...names].sort());
    const config = await desk.open({ source }, ({ files: opened }) => readJson(opened, 'config.json'));
    expect(parseConfig(config as Record<string, unknown>).layers).toBe(5);
    expect(await store.list()).toEqual([]);
    const torn: ModelSource = { kind: 'files', name: 'torn', files: [files[1]] };
    await expect(desk.handlers.inspectModel({ source: torn })).rejects.toMatchObject({
      code: 'unsupported-repository',
    });
  });
});

describe('a load', () => {
  it('tells how far each file and the whole is, and offers what is stored from then on', async () => {
    const source = repository('stories');
    const first = await desk.open({ source }, async ({ id, format, fromStorage }) => ({ id, format, fromStorage }));
    expect(first).toEqual({ id: 'someone/stories', format: 'F32', fromStorage: false });
    const last = reports.at(-1)!;
    expect(last).toMatchObject({ id: 'someone/stories', bytes: last.totalBytes, fileNumber: last.fileCount });
    hub.log.length = 0;
    const again = await desk.open({ source }, async ({ fromStorage }) => fromStorage);
    expect(again).toBe(true);
    expect(hub.log).toEqual([]);
    const repo = hub.repos.get('someone/stories')!;
    const stored = repo.refs.get('main');
    expect(await desk.handlers.inspectModel({ source })).toMatchObject({ commit: stored, newerCommit: null });
    const moved = repo.commit(tinyRepository({ 'model.safetensors': weightsOf(0) }));
    expect(await desk.handlers.inspectModel({ source })).toMatchObject({ commit: stored, newerCommit: moved });
    repo.refs.set('main', stored!);
    hub.faults.add({ path: 'index.json', times: 9 }, { status: 404 });
    expect(await desk.offers()).toMatchObject([
      { id: 'someone/stories', source, quantizable: true, parameters: 260032, storedBytes: last.totalBytes },
    ]);
  });

  it('that is paused keeps what came, and another begins only afterwards', async () => {
    hub.faults.add({ where: 'cdn' }, { stallAfter: 5e6 });
    const source = repository('slow');
    const loading = desk.open({ source }, async () => 'loaded').catch((error: Error) => error);
    const stored = () => store.chunks('someone/slow', 'model.safetensors');
    await expect.poll(stored, { timeout: 20_000 }).toHaveLength(1);
    await expect(desk.open({ source: repository('stories') }, async () => {})).rejects.toMatchObject({ code: 'busy' });
    await desk.handlers.pauseLoading({});
    expect(await loading).toMatchObject({ code: 'paused', message: expect.stringMatching(/it goes on from there/) });
    const { storedBytes, totalBytes } = await desk.handlers.inspectModel({ source });
    expect(storedBytes).toBeGreaterThan(4e6);
    expect(storedBytes).toBeLessThan(totalBytes);
    expect(await desk.open({ source }, async () => 'loaded')).toBe('loaded');
  });

  it('that is paused while its files are read ends as well', async () => {
    const work = desk.open({ source: repository('stories') }, async ({ files }) => {
      const file = await files.open('model.safetensors');
      await file.read(0, 8);
      await desk.handlers.pauseLoading({});
      return file.read(8, 16);
    });
    await expect(work).rejects.toMatchObject({ code: 'paused' });
  });
});

describe('the curated list', () => {
  it('has the sizes that its repositories have', () => {
    // Bytes of the safetensors files as published, rounded.
    const known: [string, 'BF16' | 'NF4', number][] = [
      ['llama-3.2-1b', 'BF16', 2.47e9],
      ['llama-3.2-1b', 'NF4', 1.03e9],
      ['llama-3.1-8b', 'BF16', 16.06e9],
      ['llama-3-8b', 'NF4', 5.7e9],
      ['smollm2-135m', 'BF16', 269e6],
    ];
    for (const [id, format, bytes] of known) {
      const { config } = KNOWN_CONFIGS.find((known) => known.id === id)!;
      expect(publishedBytes(config, format) / bytes).toBeCloseTo(1, 1.7);
    }
  });

  it('names each repository once, with what a run takes', () => {
    const list = curatedModels();
    expect(new Set(list.map(({ repo }) => repo)).size).toBe(CURATED.length);
    expect(list.every(({ memoryBytes, downloadBytes }) => memoryBytes > 1e8 && downloadBytes > 1e8)).toBe(true);
    expect(list.filter(({ gated }) => gated).every(({ repo }) => repo.startsWith('meta-llama/'))).toBe(true);
  });
});
