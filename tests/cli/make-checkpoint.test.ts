/** Checkpoints of random weights: the sizes of published ones, the same bytes from the same seed, and one step of training. */
import { describe, expect, test } from 'vitest';
import { knownConfig } from '../../src/cli/checkpoint/configs';
import { normalQuantile } from '../../src/cli/checkpoint/random';
import { type CheckpointFormat, randomTensors } from '../../src/cli/checkpoint/tensors';
import { writeCheckpoint } from '../../src/cli/checkpoint/write';
import { folderFiles } from '../../src/cli/node-files';
import { loadTokenizer } from '../../src/data/tokenizer';
import { planShards } from '../../src/export/safetensors-out';
import { MemorySink } from '../../src/export/sink';
import { dequantizeWeight, nf4State } from '../../src/formats/bnb-nf4';
import { memoryFiles } from '../../src/formats/bytes';
import { Checkpoint, INDEX_FILE } from '../../src/formats/checkpoint';
import { bf16ToF32 } from '../../src/formats/float';
import { serializeSafetensorsHeader } from '../../src/formats/safetensors';
import { parseConfig } from '../../src/model/config';
import { loadModel } from '../../src/model/load';
import { testGpu } from '../model/support';
import { randomPair } from '../reference/random-model';
import { createRng } from '../reference/rng';
import { repositoryPath } from '../support/files';
import { checked } from '../support/gpu';
import { start } from '../train/support';

const CONFIG = {
  ...knownConfig('llama-3-8b'),
  hidden_size: 64,
  intermediate_size: 160,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  vocab_size: 515,
};

const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

const tokenizer = await folderFiles(repositoryPath('public/models/stories-260k'));

async function write(format: CheckpointFormat, { seed = 1, shardBytes = 5e9, config = CONFIG as object } = {}) {
  const sink = new MemorySink();
  const options = { config: config as Record<string, unknown>, format, seed, shardBytes, tokenizer, sink };
  const written = await writeCheckpoint(options);
  return { written, files: sink.files, model: memoryFiles(Object.fromEntries(sink.files)) };
}

describe('sizes of published checkpoints', () => {
  const fileSizes = (name: string, format: CheckpointFormat) => {
    const tensors = randomTensors({ config: parseConfig(knownConfig(name)!), format, seed: 0, std: 0.02 });
    const shards = [...planShards(tensors, 5e9).values()];
    return { tensors: tensors.length, sizes: shards.map((shard) => serializeSafetensorsHeader(shard).size) };
  };

  // The file sizes of meta-llama's repositories.
  test.each([
    ['Llama 3.2 1B', 146, [2_471_645_608]],
    ['Llama-3.2-3B', 254, [4_965_799_096, 1_459_729_952]],
    ['llama-3-8b', 291, [4_976_698_672, 4_999_802_720, 4_915_916_176, 1_168_138_808]],
  ])('%s in bf16, to the byte', (name, tensors, sizes) => {
    expect(fileSizes(name, 'bf16')).toEqual({ tensors, sizes });
  });

  test('Llama-3-8B in 4 bits takes 5.7 GB', () => {
    const { tensors, sizes } = fileSizes('llama-3-8b', 'bnb-4bit');
    expect(tensors).toBe(291 + 224 * 5);
    const bytes = sizes.reduce((a, b) => a + b, 0);
    // Codes, 8-bit block maxima, their f32 maxima; two 16-bit tables.
    const linear = 32 * (2 * 4096 ** 2 + 2 * 1024 * 4096 + 3 * 4096 * 14336);
    const expected = linear / 2 + linear / 64 + linear / 4096 + 2 * 2 * 128256 * 4096;
    expect(bytes / expected).toBeCloseTo(1, 3);
  });
});

describe.each(['bf16', 'bnb-4bit'] as const)('%s', (format) => {
  test('the same seed gives the same bytes, in one file or in shards; another seed gives others', async () => {
    const [one, again, other] = [await write(format), await write(format), await write(format, { seed: 2 })];
    for (const [name, bytes] of one.files) expect(same(again.files.get(name)!, bytes), name).toBe(true);
    expect(same(other.files.get('model.safetensors')!, one.files.get('model.safetensors')!)).toBe(false);
    const shards = await write(format, { shardBytes: 30_000 });
    const [whole, cut] = [await Checkpoint.open(one.model), await Checkpoint.open(shards.model)];
    const { metadata, weight_map } = JSON.parse(new TextDecoder().decode(shards.files.get(INDEX_FILE)));
    expect(Object.keys(weight_map).sort()).toEqual(whole.names().sort());
    let total = 0;
    for (const name of whole.names()) {
      const bytes = await cut.read(name);
      expect(same(bytes, await whole.read(name)), name).toBe(true);
      expect(weight_map[name]).toBe(cut.tensor(name).file);
      total += bytes.length;
    }
    expect(metadata.total_size).toBe(total);
    const files = [...shards.files.keys()].filter((name) => name.endsWith('.safetensors'));
    expect(files.length).toBeGreaterThan(3);
    expect(files[0]).toBe(`model-00001-of-${String(files.length).padStart(5, '0')}.safetensors`);
    expect(shards.written.files.map(({ name }) => name)).toEqual([...shards.files.keys()]);
  });

  test('values spread as they should', async () => {
    const { model } = await write(format);
    const checkpoint = await Checkpoint.open(model);
    const values = async (name: string) =>
      format === 'bf16'
        ? bf16ToF32(new Uint16Array((await checkpoint.read(name)).buffer))
        : dequantizeWeight(checkpoint, await nf4State(checkpoint, name));
    for (const [module, std] of [
      ['self_attn.q_proj', 0.02],
      ['mlp.down_proj', 0.01],
    ] as const) {
      const v = await values(`model.layers.1.${module}.weight`);
      const mean = v.reduce((a, b) => a + b, 0) / v.length;
      expect(Math.abs(mean)).toBeLessThan((4 * std) / Math.sqrt(v.length));
      expect(Math.sqrt(v.reduce((a, b) => a + b * b, 0) / v.length) / std).toBeCloseTo(1, 1);
    }
  });

  test('is loaded, and trains a step with a finite loss and gradients that are not zero', async () => {
    const { model: files } = await write(format, { shardBytes: 60_000 });
    expect((await loadTokenizer(files)).vocabSize).toBe(512);
    await checked(testGpu().device, async () => {
      const model = await loadModel(testGpu(), files);
      const format4 = model.weights.get('model.layers.1.mlp.up_proj.weight').format;
      expect(format4).toBe(format === 'bf16' ? 'BF16' : 'NF4');
      const rng = createRng(5);
      const train = [randomPair(rng, 512, 6, 4, 5), randomPair(rng, 512, 3, 5, 2)];
      const hparams = { gradient_accumulation_steps: 1, warmup_steps: 0, max_steps: 2 };
      const run = await start({ model, train, hparams });
      await run.trainer.run();
      const [first, second] = run.trainer.log;
      // A fresh model knows nothing: about ln 515 a token, and the odds ratio's share.
      expect(first.loss).toBeGreaterThan(5);
      expect(first.loss).toBeLessThan(8);
      expect(first.grad_norm).toBeGreaterThan(1e-3);
      expect(second.loss).toBeLessThan(first.loss);
      run.session.destroy();
      model.weightMemory.destroy();
    });
  });
});

test('normal quantiles, from tail to tail', () => {
  const known = { 0.5: 0, 0.975: 1.959963984540054, 0.9: 1.2815515655446004, 0.001: -3.090232306167813 };
  for (const [p, x] of Object.entries(known)) expect(normalQuantile(Number(p))).toBeCloseTo(x, 7);
  expect(normalQuantile(0.5 / 65536)).toBeCloseTo(-normalQuantile(1 - 0.5 / 65536), 9);
});

test('a tokenizer with more ids than the model has rows is refused, and nothing is left', async () => {
  const small = { ...CONFIG, vocab_size: 500 };
  await expect(write('bf16', { config: small })).rejects.toThrow("ids up to 511, but the config's vocab_size is 500");
});
