/** The kernels of a run are known before it, and compiled at once. */
import { expect, test } from 'vitest';
import type { TokenizedPair } from '../../src/data/types';
import { Commands } from '../../src/gpu/commands';
import { kernelKey } from '../../src/gpu/kernels';
import { profileFor } from '../../src/gpu/profile';
import { kernelsOf } from '../../src/train/kernel-list';
import { testDevice } from '../support/gpu';
import { open, pairs, start } from './support';

const device = await testDevice();

test.each([
  ['two passes a step, with evaluations', { mostTokens: 1, evaluation: pairs.slice(0, 3), train: pairs.slice(3) }, {}],
  ['dropout and 8-bit moments', {}, { lora_dropout: 0.1, optim: 'adamw_8bit' }],
  ['DoRA, no checkpointing', {}, { use_dora: true, gradient_checkpointing: false }],
] as const)('%s: what is listed is what the run uses, and takes nothing of the GPU', async (_, setup, hparams) => {
  const model = { ...open, cmd: new Commands(device) };
  const run = await start({ ...setup, hparams: { ...hparams, max_steps: 2 }, model });
  // What a fresh adapter needs is compiled by now.
  const before = model.cmd.kernels.size;
  const create = device.createBuffer;
  let made = 0;
  device.createBuffer = (descriptor) => {
    made++;
    return create.call(device, descriptor);
  };
  const specs = await kernelsOf(model, run.plan);
  device.createBuffer = create;
  expect(made).toBe(0);
  expect(model.cmd.kernels.size).toBe(before);
  expect(new Set(specs.map(kernelKey)).size).toBe(specs.length);

  const told: string[] = [];
  run.trainer.events.onActivity = (activity) => told.push(activity);
  await run.trainer.run({ maxSteps: 1 });
  const { size } = model.cmd.kernels;
  expect(told[0]).toBe(`compiling kernels 0 of ${size - before}`);
  expect(told).toContain(`compiling kernels ${size - before - 1} of ${size - before}`);
  // Whether the step used any that was not on the list, or the list has any that the cache had not.
  await model.cmd.kernels.prepare(specs, () => expect.unreachable('all of them are there'));
  await run.trainer.run({ maxSteps: 2 });
  expect(model.cmd.kernels.size).toBe(size);
  run.session.destroy();
  model.cmd.destroy();
});

test('the tiles of later passes are on the list as well, where they depend on a pass’s size', async () => {
  const gpu = { ...open.gpu, profile: profileFor(device, false) };
  const model = { ...open, gpu, cmd: new Commands(device) };
  const [pair] = pairs;
  const times = (ids: readonly number[], n: number) => Array.from({ length: n }, () => ids).flat();
  const long: TokenizedPair = {
    chosen_input_ids: times(pair.chosen_input_ids, 12),
    chosen_labels: times(pair.chosen_labels, 12),
    rejected_input_ids: times(pair.rejected_input_ids, 12),
    rejected_labels: times(pair.rejected_labels, 12),
  };
  const listed = async (rows: TokenizedPair[]) => {
    const hparams = { per_device_train_batch_size: 1, gradient_accumulation_steps: 1, shuffle: false };
    const run = await start({ train: rows, hparams });
    run.session.destroy();
    return new Set((await kernelsOf(model, run.plan)).map(kernelKey));
  };
  const [short, alone, both] = [await listed([pair]), await listed([long]), await listed([pair, pair, long])];
  const more = [...alone].filter((key) => !short.has(key));
  expect(more.length).toBeGreaterThan(0);
  expect([...alone].filter((key) => !both.has(key))).toEqual([]);
  model.cmd.destroy();
});

test('a kernel that the device refuses is named by what the device says of it', async () => {
  const cmd = new Commands(device);
  const threads = 2 * device.limits.maxComputeInvocationsPerWorkgroup;
  const source = `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
    @compute @workgroup_size(${threads}) fn main() { x[0] = 1; }`;
  await expect(cmd.kernels.prepare([{ name: 'too wide', source }])).rejects.toMatchObject({
    code: 'shader',
    message: expect.stringMatching(/^The GPU refused part of the work: .*workgroup/is),
  });
  expect(cmd.kernels.size).toBe(0);
  cmd.destroy();
});
