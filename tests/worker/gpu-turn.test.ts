/** The GPU is one piece of work's at a time, and one model's at a time. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ModelSource } from '../../src/worker/protocol';
import { jsonl, shortRows } from '../page/support/rows';
import { repositoryPath } from '../support/files';
import { loadModel, loadRows, type OpenStudio, openPlace, openStudio, type Place, runSettings } from './studio-support';

const FILES = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors'];
const BUSY = { code: 'busy' };

let place: Place;
let open: OpenStudio;
/** Bytes of storage buffers that are not destroyed. */
let live = 0;
let most = 0;
let stopWhen: 'uploading' | null = null;

const count = (event: string) => open.events.filter((e) => e.event === event).length;

/** The built-in model as a folder on disk, some of its files changed. */
async function onDisk(changed: Record<string, string> = {}): Promise<ModelSource> {
  const folder = repositoryPath('public/models/stories-260k');
  const files = FILES.map(async (name) => new File([changed[name] ?? (await readFile(`${folder}/${name}`))], name));
  return { kind: 'files', name: 'mine', files: await Promise.all(files) };
}

/** Counts what a device has allocated from now on. */
function countBuffers(device: GPUDevice): void {
  const create = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = create(descriptor);
    if (!(descriptor.usage & 0x80)) return buffer;
    const destroy = buffer.destroy.bind(buffer);
    live += descriptor.size;
    most = Math.max(most, live);
    buffer.destroy = () => {
      live -= descriptor.size;
      return destroy();
    };
    return buffer;
  };
}

beforeAll(async () => {
  place = await openPlace();
  open = await openStudio(place, {
    listen: (event) => {
      if (event.event !== 'modelProgress' || event.progress.phase !== stopWhen) return;
      void open.studio.handlers.pauseLoading({});
    },
  });
  countBuffers(open.device());
  await loadModel(open);
  await loadRows(open, jsonl(shortRows(2)));
});
afterAll(async () => {
  open?.device().destroy();
  await place?.close();
});

test('the old model is freed before the new one is allocated', async () => {
  const one = live;
  expect(one).toBeGreaterThan(1e6);
  most = 0;
  await open.studio.handlers.loadModel({ source: await onDisk() });
  expect(most).toBe(one);
  expect(live).toBe(one);
  expect(count('modelUnloaded')).toBe(1);
});

test('a model that is refused by its files costs the loaded one nothing', async () => {
  const { handlers } = open.studio;
  const config = JSON.parse(await readFile(repositoryPath('public/models/stories-260k/config.json'), 'utf8'));
  const torn = await onDisk({ 'config.json': JSON.stringify({ ...config, intermediate_size: 64 }) });
  const [before, told] = [live, count('modelUnloaded')];
  await expect(handlers.loadModel({ source: torn })).rejects.toMatchObject({ code: 'wrong-shape' });
  expect([live, count('modelUnloaded')]).toEqual([before, told]);
  expect(await handlers.plan(runSettings({}))).toMatchObject({ blockers: [] });
});

test('a load that ends half-way leaves no model, says so, and can be made again', async () => {
  const { handlers } = open.studio;
  const told = count('modelUnloaded');
  stopWhen = 'uploading';
  await expect(handlers.loadModel({ source: await onDisk() })).rejects.toMatchObject({ code: 'paused' });
  stopWhen = null;
  expect([live, count('modelUnloaded')]).toEqual([0, told + 1]);
  await expect(handlers.plan(runSettings({}))).rejects.toMatchObject({ code: 'no-model' });
  await loadModel(open);
  expect(await handlers.plan(runSettings({}))).toMatchObject({ blockers: [] });
});

test('while an evaluation goes on, nothing else is let at the GPU, and each request after it is', async () => {
  const { handlers } = open.studio;
  const settings = runSettings({});
  const text = {
    id: 't',
    title: 'notes.txt',
    kind: 'text' as const,
    source: { files: [new File(['a b'], 'notes.txt')] },
  };
  const order = { tasks: [text], settings, limit: null, shots: 0, seed: 1 };
  const source = await onDisk();
  const evaluation = handlers.evaluate(order);
  const ended = expect(evaluation).rejects.toMatchObject({ code: 'cancelled' });
  const others = {
    train: () => handlers.train(settings),
    probe: () => handlers.probe(settings),
    continueRun: () => handlers.continueRun({ id: 'x' }),
    openRun: () => handlers.openRun({ id: 'x' }),
    loadModel: () => handlers.loadModel({ source }),
    evaluate: () => handlers.evaluate(order),
    deleteModel: () => handlers.deleteStored({ kind: 'model', id: 'stories-260k' }),
  };
  const refused = Object.entries(others).map(async ([name, ask]) => [name, await ask().catch((e) => e.code)]);
  void handlers.steerEvaluation({ how: 'cancel' });
  const all = Object.fromEntries(await Promise.all(refused));
  expect(all).toEqual({
    ...Object.fromEntries(Object.keys(others).map((name) => [name, 'busy'])),
    deleteModel: 'in-use',
  });
  await ended;
  // No such run: refused for what it is, not because something goes on.
  await expect(handlers.openRun({ id: 'x' })).rejects.not.toMatchObject(BUSY);
  await expect(handlers.continueRun({ id: 'x' })).rejects.not.toMatchObject(BUSY);
});

test('while a model goes to the GPU no run begins', async () => {
  const { handlers } = open.studio;
  const source = await onDisk();
  const from = open.events.length;
  const loading = handlers.loadModel({ source });
  while (!open.events.slice(from).some((e) => e.event === 'modelUnloaded')) await new Promise((go) => setImmediate(go));
  const seen = await handlers.openRun({ id: 'x' }).catch((error) => error);
  expect(seen).toMatchObject({ code: 'busy', message: expect.stringContaining('being loaded') });
  expect(await loading).toMatchObject({ id: 'mine' });
});
