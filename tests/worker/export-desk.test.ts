/** Exports through the engine's requests: what a model quantised on load is merged into, sizes told before, and cancelling. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { memoryFiles } from '../../src/formats/bytes';
import { Checkpoint, SINGLE_FILE } from '../../src/formats/checkpoint';
import { decodeFloats } from '../../src/formats/float';
import type { ExportOptions } from '../../src/worker/protocol';
import { jsonl, shortRows } from '../page/support/rows';
import { relativeL2 } from '../support/close';
import { FakeDirectory } from '../support/directory';
import { fixture } from '../support/files';
import { unzip } from '../support/unzip';
import { loadRows, type OpenStudio, openPlace, openStudio, type Place, runSettings } from './studio-support';

let place: Place;
let open: OpenStudio;

beforeAll(async () => {
  place = await openPlace();
  open = await openStudio(place);
  const summary = await open.studio.handlers.loadModel({
    source: { kind: 'builtin', id: 'stories-260k' },
    quantize: 'nf4',
  });
  expect(summary.mergeBases).toEqual(['trained', 'source', 'nf4']);
  await expect(open.studio.handlers.exportSize(form())).rejects.toMatchObject({ code: 'nothing-to-export' });
  await loadRows(open, jsonl(shortRows(4)));
  await open.studio.handlers.train(
    runSettings({
      max_steps: 1,
      per_device_train_batch_size: 1,
      gradient_accumulation_steps: 1,
      max_length: 40,
      max_prompt_length: 20,
      lora_r: 4,
    }),
  );
});
afterAll(async () => {
  open?.device().destroy();
  await place?.close();
});

const form = (more: Partial<ExportOptions> = {}): ExportOptions => ({ kind: 'merged', dtype: 'F32', ...more });

async function zipOf(options: ExportOptions): Promise<Map<string, Uint8Array>> {
  const { download } = await open.studio.handlers.export(options);
  const files = unzip(new Uint8Array(await new Response(download!.stream).arrayBuffer()));
  return new Map(Array.from(files, ([path, bytes]) => [path.split('/')[1], bytes]));
}

async function values(files: Map<string, Uint8Array>, name: string): Promise<Float32Array> {
  const checkpoint = await Checkpoint.open(memoryFiles(Object.fromEntries(files)));
  return decodeFloats(await checkpoint.read(name), 'F32');
}

test('a model quantised on load is merged into what training saw, or into its own weights', async () => {
  const name = 'model.layers.2.mlp.up_proj.weight';
  const [trained, source] = [await zipOf(form()), await zipOf(form({ base: 'source' }))];
  const own = await values(
    new Map([
      [SINGLE_FILE, await fixture('public/models/stories-260k/model.safetensors')],
      ['config.json', Buffer.from('{}')],
    ]),
    name,
  );
  // One step of a fresh adapter moves little; NF4 is about 9 % away.
  expect(relativeL2(await values(source, name), own)).toBeLessThan(1e-3);
  const distance = relativeL2(await values(trained, name), own);
  expect(distance).toBeGreaterThan(0.05);
  expect(distance).toBeLessThan(0.13);
  const card = new TextDecoder().decode(source.get('README.md'));
  expect(card).toContain('finer than the 4-bit ones');
  expect(card).toMatch(/\| GPU \| .*\(software\) \|/u);
});

test.each([
  { kind: 'merged', dtype: 'BF16', base: 'trained' },
  { kind: 'merged', dtype: 'source', base: 'nf4', shardBytes: 60_000 },
  { kind: 'gguf', dtype: 'F32', gguf: 'Q8_0' },
] as ExportOptions[])('tells the size of $kind, $base before', async (options) => {
  const told = await open.studio.handlers.exportSize(options);
  const files = await zipOf(options);
  const weights = [...files].filter(([name]) => /\.(?:safetensors|gguf)$/u.test(name));
  expect(told.weightFiles).toBe(weights.length);
  const bytes = weights.reduce((sum, [, file]) => sum + file.length, 0);
  // Headers of safetensors files are not counted.
  expect(bytes - told.bytes).toBeLessThan(options.kind === 'gguf' ? 1 : 20_000 * weights.length);
  expect(bytes).toBeGreaterThanOrEqual(told.bytes);
});

test('one at a time, and a cancelled one leaves nothing', async () => {
  const { handlers } = open.studio;
  const { download } = await handlers.export(form());
  const directory = new FakeDirectory();
  const toFolder = () => handlers.export(form({ directory: directory.handle }));
  await expect(toFolder()).rejects.toMatchObject({ code: 'busy' });
  const read = new Response(download!.stream).arrayBuffer();
  await handlers.cancelExport({});
  await expect(read).rejects.toThrow('The export was cancelled');
  const writing = toFolder();
  await handlers.cancelExport({});
  await expect(writing).rejects.toMatchObject({ code: 'export-cancelled' });
  expect([...directory.folders.keys()]).toEqual([]);
  const { files } = await toFolder();
  expect(files.map(({ name }) => name)).toContain('stories-260k-orpo/config.json');
  expect(open.events.some(({ event }) => event === 'exportProgress')).toBe(true);
});
