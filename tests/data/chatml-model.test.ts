/** A model opened with ChatML's tokens: rows in embedding and head, a step of training on them, and what is exported. */
import { expect, it } from 'vitest';
import { asChatmlModel } from '../../src/data/chatml-model';
import { renderRow } from '../../src/data/render';
import { resolveTokenIds, tokenizeRow } from '../../src/data/tokenize';
import { loadTokenizer } from '../../src/data/tokenizer';
import { exportMerged } from '../../src/export/export';
import { cpuMerger } from '../../src/export/merge';
import { MemorySink } from '../../src/export/sink';
import { memoryFiles, readJson } from '../../src/formats/bytes';
import { Checkpoint } from '../../src/formats/checkpoint';
import { decodeFloats, encodeFloats, type FloatDtype } from '../../src/formats/float';
import { downloadAdapter, initialAdapter, uploadAdapter } from '../../src/model/adapter';
import { loadModel } from '../../src/model/load';
import { Session } from '../../src/model/session';
import { DEFAULT_HPARAMS } from '../../src/train/hparams';
import { planTraining } from '../../src/train/run-plan';
import { Trainer } from '../../src/train/trainer';
import { checkpointFiles, testGpu } from '../model/support';
import { randomModel } from '../reference/random-model';
import { createRng } from '../reference/rng';
import { folderFiles, repositoryPath } from '../support/files';

const EMBEDDING = 'model.embed_tokens.weight';
const stories = () => folderFiles(repositoryPath('public/models/stories-260k'));
const pocket = () => folderFiles(repositoryPath('public/models/pocket-15m-bnb-4bit'));

async function rows(checkpoint: Checkpoint, name: string): Promise<Float32Array> {
  return decodeFloats(await checkpoint.read(name), checkpoint.tensor(name).dtype as FloatDtype);
}

/** Mean of all rows, in float64. */
function meanRow(values: Float32Array, width: number): number[] {
  const sums = new Array<number>(width).fill(0);
  values.forEach((value, i) => {
    sums[i % width] += value;
  });
  return sums.map((sum) => sum / (values.length / width));
}

async function expectGrown(before: Checkpoint, after: Checkpoint, name: string, added: number) {
  const [vocab, width] = before.tensor(name).shape;
  const dtype = before.tensor(name).dtype as FloatDtype;
  after.expect(name, [vocab + added, width]);
  expect(after.tensor(name).dtype).toBe(dtype);
  const [old, grown] = [await rows(before, name), await rows(after, name)];
  expect(grown.length).toBe(old.length + added * width);
  expect(Buffer.compare(await after.read(name, 0, before.tensor(name).byteLength), await before.read(name))).toBe(0);
  const mean = decodeFloats(encodeFloats(Float32Array.from(meanRow(old, width)), dtype), dtype);
  for (let i = 0; i < added; i++) {
    const row = grown.subarray(old.length + i * width, old.length + (i + 1) * width);
    row.forEach((value, j) => {
      expect(Math.abs(value - mean[j])).toBeLessThanOrEqual(1e-6 + Math.abs(mean[j]) * 2 ** -7);
    });
  }
}

it('adds rows to the embedding in whichever shard it lies, and leaves every other tensor as it is', async () => {
  const before = await Checkpoint.open(await pocket());
  const after = await Checkpoint.open(await asChatmlModel(await pocket(), 'add'));
  expect(after.config).toMatchObject({ vocab_size: 8194, bos_token_id: 8192, eos_token_id: 8193, pad_token_id: 8193 });
  expect(await readJson(after.files, 'generation_config.json')).toMatchObject({ eos_token_id: 8193 });
  await expectGrown(before, after, EMBEDDING, 2);
  expect(after.names().toSorted()).toEqual(before.names().toSorted());
  for (const name of after.names()) {
    if (name === EMBEDDING) continue;
    expect(Buffer.compare(await after.read(name), await before.read(name)), name).toBe(0);
  }
});

it('adds rows to a head of its own as well', async () => {
  const model = randomModel(createRng(3), {
    vocab: 20,
    hidden: 16,
    intermediate: 24,
    layers: 1,
    heads: 2,
    kvHeads: 1,
    headDim: 8,
    rmsEps: 1e-5,
  });
  const weights = checkpointFiles({ ...model, lmHead: model.embed.map((value) => 2 * value) });
  const tokens = await stories();
  const files = {
    names: [...weights.names, 'tokenizer.json'],
    open: (name: string) => (name === 'tokenizer.json' ? tokens : weights).open(name),
  };
  const after = await Checkpoint.open(await asChatmlModel(files, 'add'));
  await expectGrown(await Checkpoint.open(files), after, EMBEDDING, 494);
  await expectGrown(await Checkpoint.open(files), after, 'lm_head.weight', 494);
});

it('renames reserved tokens without touching a weight', async () => {
  const files = await asChatmlModel(await pocket(), 'reserved');
  const config = await readJson<Record<string, number>>(files, 'config.json');
  expect(config.vocab_size).toBe(8192);
  const tokenizer = await loadTokenizer(files);
  expect(tokenizer.tokenText(config.bos_token_id)).toBe('<|im_start|>');
  expect(tokenizer.tokenText(config.eos_token_id)).toBe('<|im_end|>');
});

it('trains on the new tokens, and the merged model has them', async () => {
  const files = await asChatmlModel(await stories(), 'add');
  const tokenizer = await loadTokenizer(files);
  const hparams = { ...DEFAULT_HPARAMS, lora_r: 4, max_length: 96, max_steps: 1, learning_rate: 1e-3 };
  const ids = resolveTokenIds(hparams, tokenizer);
  const source = { form: 'request' as const, prompt: 'Once', chosen: 'upon a time', rejected: 'more', line: 1 };
  const text = renderRow(source, { format: 'chat-template' }, tokenizer);
  const { pair } = tokenizeRow(tokenizer, text, hparams, ids.bos, ids.eos);
  expect(pair.chosen_input_ids.filter((id) => id >= 512)).toEqual([512, 513, 512, 513, 513]);

  const model = await loadModel(testGpu(), files);
  const { limits } = model.gpu.device;
  const plan = planTraining(model.config, limits, model.gpu.profile, hparams, [pair], []);
  const session = await Session.create(model, plan.lora, plan.capacity, hparams);
  uploadAdapter(session, initialAdapter(plan.lora, 1));
  const trainer = new Trainer(session, plan, {});
  await trainer.run();
  expect(trainer.log[0].loss).toBeGreaterThan(0);
  expect(trainer.log[0].grad_norm).toBeGreaterThan(0);
  const adapter = await downloadAdapter(session);
  session.destroy();

  const sink = new MemorySink();
  const merger = cpuMerger(adapter, plan.lora.scale);
  await exportMerged({ checkpoint: model.checkpoint, merger, dtype: 'F32', card: '', sink });
  const merged = memoryFiles(Object.fromEntries(sink.files));
  await expectGrown(await Checkpoint.open(await stories()), await Checkpoint.open(merged), EMBEDDING, 2);
  expect(await readJson(merged, 'config.json')).toMatchObject({ vocab_size: 514, eos_token_id: 513 });
  const again = await loadTokenizer(merged);
  expect(renderRow(source, { format: 'chat-template' }, again)).toEqual(text);
  expect(tokenizeRow(again, text, hparams, 512, 513).pair).toEqual(pair);
});
