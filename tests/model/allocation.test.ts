/** What a model and a run allocate on the device is what their tables say, buffer by buffer and to the byte. */
import { afterAll, expect, test } from 'vitest';
import { type BufferSpec, totalBytes } from '../../src/gpu/memory';
import { loraLayout } from '../../src/model/lora';
import { type PackCapacity, type RunOptions, runSpecs, weightSpecs, weightTables } from '../../src/model/plan';
import { Session } from '../../src/model/session';
import { TARGET_MODULES } from '../../src/train/hparams';
import { randomModel, TINY_SHAPE } from '../reference/random-model';
import { createRng } from '../reference/rng';
import { device, openModel } from './support';

/** Every buffer that `work` creates, lasting or not. */
async function created<T>(work: () => Promise<T>): Promise<{ made: { name: string; bytes: number }[]; result: T }> {
  const made: { name: string; bytes: number }[] = [];
  const create = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    made.push({ name: descriptor.label ?? '', bytes: descriptor.size });
    return create(descriptor);
  };
  try {
    return { made, result: await work() };
  } finally {
    delete (device as Partial<GPUDevice>).createBuffer;
  }
}

const table = (specs: readonly BufferSpec[]) => specs.map(({ name, bytes }) => ({ name, bytes }));

const SHAPE = { ...TINY_SHAPE, hidden: 32, intermediate: 44, headDim: 8 };
const model = randomModel(createRng(1), SHAPE, true);
const { made, result: open } = await created(() => openModel(model, { nf4: true }));
afterAll(() => open.weightMemory.destroy());

test('weights', () => {
  const tables = weightTables(open.config, (name) => (name.includes('_proj') ? 'NF4' : 'F32'));
  const planned = weightSpecs(tables, device.limits);
  // Beside the weights only the queue's own parameter buffer.
  expect(made.filter(({ name }) => name !== 'params')).toEqual(table(planned));
  expect(open.weightMemory.bytes).toBe(totalBytes(planned));
  const projections = 2 * (32 * 32 * 2 + 32 * 16 * 2 + 44 * 32 * 3);
  const bytes = planned.filter(({ name }) => /_proj.*#/.test(name)).reduce((sum, b) => sum + b.bytes, 0);
  expect(bytes).toBe(projections / 2);
});

const CAPACITY: PackCapacity = { tokens: 130, rows: 70, entries: 75, tiles: 12, pairs: 3, positions: 60 };

test.each([
  { optim: 'adamw_torch', gradient_checkpointing: true },
  { optim: 'adamw_torch', gradient_checkpointing: true, keep_bytes: 0 },
  { optim: 'adamw_torch', gradient_checkpointing: true, keep_bytes: 4e4 },
  { optim: 'adamw_torch', gradient_checkpointing: true, keep_bytes: 1e9 },
  { optim: 'adamw_bnb_32bit', gradient_checkpointing: false },
  { optim: 'adamw_8bit', gradient_checkpointing: true, lora_dropout: 0.1, disable_dropout: false },
] satisfies RunOptions[])('a run: %j', async (options) => {
  for (const use_dora of [false, true]) {
    for (const capacity of [CAPACITY, { ...CAPACITY, headTile: { rows: 8, columns: 8 }, stretch: 64 }]) {
      const settings = { lora_r: 3, lora_alpha: 6, use_rslora: false, use_dora, target_modules: TARGET_MODULES };
      const lora = loraLayout(open.config, settings, 2 ** 12);
      expect(lora.slabs.length).toBeGreaterThan(1);
      const planned = runSpecs(open.config, lora, capacity, options);
      const { made, result: session } = await created(() => Session.create(open, lora, capacity, options));
      expect(made).toEqual(table(planned));
      expect(session.memory.bytes).toBe(totalBytes(planned));
      for (const { name, bytes } of planned) expect(session.memory.get(name).size).toBe(bytes);
      session.destroy();
    }
  }
});
