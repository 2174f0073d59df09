/** Fresh adapters, and the way of an adapter's values to the GPU and back. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type AdapterTensor, readAdapter } from '../../src/formats/peft';
import {
  adapterSpecs,
  downloadAdapter,
  initialAdapter,
  packAdapter,
  unpackAdapter,
  uploadAdapter,
} from '../../src/model/adapter';
import { type LlamaConfig, parseConfig } from '../../src/model/config';
import { type LoraSettings, loraLayout } from '../../src/model/lora';
import { Session } from '../../src/model/session';
import { DEFAULT_HPARAMS, TARGET_MODULES } from '../../src/train/hparams';
import { readSafetensors } from '../reference/load';
import { randomModel, TINY_SHAPE } from '../reference/random-model';
import { createRng } from '../reference/rng';
import { folderFiles, repositoryPath } from '../support/files';
import { openModel } from './support';

const golden = repositoryPath('tests/goldens/stories-260k-lora');
const stories = parseConfig(JSON.parse(readFileSync(repositoryPath('public/models/stories-260k/config.json'), 'utf8')));

const settings = (changes: Partial<LoraSettings> = {}): LoraSettings => ({
  lora_r: 3,
  lora_alpha: 6,
  use_rslora: false,
  target_modules: TARGET_MODULES,
  ...changes,
});

test('a seed gives the adapter that torch.rand gives, bit for bit', async () => {
  const hparams = { ...DEFAULT_HPARAMS, ...JSON.parse(readFileSync(`${golden}/hparams.json`, 'utf8')) };
  const expected = readSafetensors(`${golden}/init.safetensors`);
  const layout = loraLayout(stories, hparams, 2 ** 27);
  const ours = initialAdapter(layout, hparams.init_seed);
  expect([...ours.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, { shape, values }] of ours) {
    expect(shape).toEqual(expected.get(name)!.shape);
    expect(values, name).toEqual(Float32Array.from(expected.get(name)!.data));
    expect(values.some((v) => v !== 0)).toBe(name.includes('lora_A'));
  }
  const other = initialAdapter(layout, hparams.init_seed + 1);
  expect(other).not.toEqual(ours);
});

describe('slabs', () => {
  const config: LlamaConfig = { ...stories, layers: 3 };

  function numbered(layout: ReturnType<typeof loraLayout>): Map<string, AdapterTensor> {
    let next = 1;
    return new Map(
      adapterSpecs(layout).map(({ name, shape }) => {
        const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).map(() => next++);
        return [name, { name, shape, values }];
      }),
    );
  }

  test.each([1, 3, 4, 8])('rank %i goes in and comes back; padding is zero', (lora_r) => {
    for (const limit of [2 ** 27, 40_000]) {
      const layout = loraLayout(config, settings({ lora_r }), limit);
      const tensors = numbered(layout);
      const slabs = packAdapter(layout, tensors);
      expect(slabs.map((s) => s.length)).toEqual(layout.slabs);
      expect(layout.slabs.length).toBe(limit === 40_000 ? slabs.length : 1);
      if (limit === 40_000 && lora_r > 3) expect(slabs.length).toBeGreaterThan(1);
      for (const length of layout.slabs) expect(length % 4).toBe(0);
      const filled = slabs.reduce((sum, slab) => sum + slab.filter((v) => v !== 0).length, 0);
      expect(filled).toBe(layout.parameters);
      expect(unpackAdapter(layout, slabs)).toEqual(tensors);
    }
  });

  test('every value has a place of its own', () => {
    const layout = loraLayout(config, settings(), 2 ** 27);
    const values = packAdapter(layout, numbered(layout)).flatMap((slab) => [...slab.filter((v) => v !== 0)]);
    expect(new Set(values).size).toBe(layout.parameters);
  });

  test('a missing or misshapen tensor is named', () => {
    const layout = loraLayout(config, settings(), 2 ** 27);
    const tensors = numbered(layout);
    const [name, tensor] = [...tensors][4];
    tensors.delete(name);
    expect(() => packAdapter(layout, tensors)).toThrow(`The adapter has no tensor ${name}.`);
    tensors.set(name, { ...tensor, shape: [tensor.shape[0] + 1, tensor.shape[1]] });
    expect(() => packAdapter(layout, tensors)).toThrow(/has shape \[.*\], the settings ask for/);
  });
});

test('upload, download, and moments back at zero', async () => {
  const open = await openModel(randomModel(createRng(1), { ...TINY_SHAPE, intermediate: 20 }));
  const lora = loraLayout(open.config, settings(), 2 ** 27);
  const capacity = { tokens: 8, rows: 8, entries: 8, tiles: 1, pairs: 1, positions: 8 };
  const session = await Session.create(open, lora, capacity, { optim: 'adamw_torch', gradient_checkpointing: true });
  const adapter = initialAdapter(lora, 5);
  const moments = { buffer: session.memory.get('lora.m.0') };
  open.cmd.upload(moments, new Float32Array(lora.slabs[0]).fill(3));
  uploadAdapter(session, adapter);
  expect(await downloadAdapter(session)).toEqual(adapter);
  expect(new Float32Array(await open.cmd.read(moments, lora.slabs[0] * 4)).every((v) => v === 0)).toBe(true);
  session.destroy();
  open.weightMemory.destroy();
});

test('rsLoRA scales by the root of the rank; modules that are no linear layers are refused', () => {
  expect(loraLayout(stories, settings({ lora_r: 16, lora_alpha: 32 }), 2 ** 27).scale).toBe(2);
  expect(loraLayout(stories, settings({ lora_r: 16, lora_alpha: 32, use_rslora: true }), 2 ** 27).scale).toBe(8);
  const modules = ['lm_head'] as unknown as LoraSettings['target_modules'];
  expect(() => loraLayout(stories, settings({ target_modules: modules }), 2 ** 27)).toThrow(/lm_head is not a linear/);
});

test('the adapter of a golden run is read as its own tensors', async () => {
  const file = await (await folderFiles(golden)).open('init.safetensors');
  const tensors = await readAdapter(file, 'init.safetensors');
  const layout = loraLayout(stories, settings({ lora_r: 8, lora_alpha: 16 }), 2 ** 27);
  expect(unpackAdapter(layout, packAdapter(layout, tensors))).toEqual(tensors);
});
