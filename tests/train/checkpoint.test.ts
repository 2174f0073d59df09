/** Checkpoints: another session goes on from one to the same numbers, bit for bit, and refuses one of another run. */
import { expect, test } from 'vitest';
import { downloadAdapter } from '../../src/model/adapter';
import { putCheckpoint, takeCheckpoint } from '../../src/train/checkpoint';
import { readCheckpoint, writeCheckpoint } from '../../src/train/checkpoint-file';
import type { HParams } from '../../src/train/hparams';
import { pairs, type Run, start } from './support';

const LAST = 6;
const evaluation = pairs.slice(0, 3);

async function whole(hparams: Partial<HParams>) {
  const run = await start({ hparams, evaluation });
  await run.trainer.run();
  const adapter = await downloadAdapter(run.session);
  run.session.destroy();
  return { steps: run.trainer.log, evals: run.trainer.evalLog, adapter };
}

async function goOn(run: Run, file: Uint8Array) {
  const { checkpoint } = await readCheckpoint(file, 'checkpoint.safetensors');
  putCheckpoint(run.trainer, checkpoint);
  await run.trainer.run();
  return { steps: run.trainer.log, evals: run.trainer.evalLog, adapter: await downloadAdapter(run.session) };
}

test.each<[string, Partial<HParams>]>([
  ['f32 moments, evaluations between', { eval_steps: 2 }],
  // Such a rank gives tensors of 4,096 elements and more, whose states are 8-bit; smaller ones have f32 states.
  ['8-bit moments, weight decay', { optim: 'adamw_8bit', lora_r: 512, lora_alpha: 512, weight_decay: 0.1 }],
  ['DoRA', { use_dora: true }],
  ['dropout', { disable_dropout: false, lora_dropout: 0.3 }],
])('%s: a run cut at any step goes on to the same log and adapter', async (_, hparams) => {
  const expected = await whole(hparams);
  expect(expected.steps).toHaveLength(LAST);
  const files: Uint8Array[] = [];
  const run = await start({ hparams, evaluation });
  const take = async () => void files.push(writeCheckpoint(await takeCheckpoint(run.trainer)));
  await run.trainer.run({ save: { every: 2, take } });
  run.session.destroy();
  // The checkpoints themselves change nothing; the last step's is taken by who runs the trainer.
  expect(run.trainer.log).toEqual(expected.steps);
  expect(files).toHaveLength(2);
  for (const file of files) {
    const again = await start({ hparams: { ...hparams, init_seed: 9 }, evaluation });
    expect(await goOn(again, file)).toEqual(expected);
    again.session.destroy();
  }
});

test('without its moments a run would go another way', async () => {
  const run = await start();
  await run.trainer.run({ maxSteps: 3 });
  const checkpoint = await takeCheckpoint(run.trainer);
  const moments = checkpoint.moments.map((tensor) => ({ ...tensor, bytes: new Uint8Array(tensor.bytes.length) }));
  await run.trainer.run();
  const again = await start();
  const { steps } = await goOn(again, writeCheckpoint({ ...checkpoint, moments }));
  expect(steps.slice(0, 4)).toEqual(run.trainer.log.slice(0, 4));
  expect(steps[5].loss).not.toBe(run.trainer.log[5].loss);
  run.session.destroy();
  again.session.destroy();
});

test('numbers that JSON would lose, and texts and tensors beside, come back as they were', async () => {
  const run = await start();
  await run.trainer.run({ maxSteps: 1 });
  const checkpoint = await takeCheckpoint(run.trainer);
  run.session.destroy();
  const odd = {
    ...checkpoint.steps[0],
    log_odds_ratio: Number.NEGATIVE_INFINITY,
    'rewards/margins': -0,
    loss: Number.NaN,
  };
  const tensor = { name: 'pairs', dtype: 'U8', shape: [3], bytes: Uint8Array.of(1, 2, 3) } as const;
  const file = writeCheckpoint({ ...checkpoint, steps: [odd] }, { metadata: { run: '{}' }, tensors: [tensor] });
  const read = await readCheckpoint(file, 'a file');
  expect(read.checkpoint.steps).toEqual([odd]);
  expect(read.checkpoint.moments).toHaveLength(checkpoint.moments.length);
  expect(read.metadata.run).toBe('{}');
  expect(read.extras.get('pairs')!.bytes).toEqual(tensor.bytes);
});

test('a checkpoint of another run, and another file, are refused by name', async () => {
  const run = await start();
  await run.trainer.run({ maxSteps: 1 });
  const checkpoint = await takeCheckpoint(run.trainer);
  run.session.destroy();
  for (const [setup, why] of [
    [{ train: pairs.slice(1) }, /11 pairs, not 10/],
    [{ hparams: { seed: 1 } }, /another order/],
    [{ hparams: { optim: 'adamw_8bit' } }, /no state8bit/],
    [{ hparams: { lora_r: 4 } }, /the settings ask for/],
  ] as const) {
    const other = await start(setup);
    expect(() => putCheckpoint(other.trainer, checkpoint)).toThrow(why);
    other.session.destroy();
  }
  const file = writeCheckpoint(checkpoint);
  const refused = { code: 'bad-checkpoint' };
  await expect(readCheckpoint(file.subarray(0, file.length - 1), 'cut')).rejects.toMatchObject(refused);
  await expect(readCheckpoint(new TextEncoder().encode('hello there'), 'text')).rejects.toMatchObject(refused);
});
