/** Weights come to the GPU in pieces: no tensor is ever whole in memory, and each byte is read once. */
import { describe, expect, test } from 'vitest';
import { knownConfig } from '../../src/cli/checkpoint/configs';
import { type CheckpointFormat, randomTensors } from '../../src/cli/checkpoint/tensors';
import { writeWeights } from '../../src/export/safetensors-out';
import { MemorySink } from '../../src/export/sink';
import { type ModelFiles, memoryFiles } from '../../src/formats/bytes';
import { Checkpoint } from '../../src/formats/checkpoint';
import { ConfigError, parseConfig } from '../../src/model/config';
import { loadModel } from '../../src/model/load';
import { checkpointTables } from '../../src/model/weights';
import { checked } from '../support/gpu';
import { device, testGpu } from './support';

/** Embedding, head and MLP of some 10 MB each. */
const CONFIG = {
  ...knownConfig('llama-3-8b'),
  hidden_size: 256,
  intermediate_size: 20_000,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 64,
  vocab_size: 20_004,
};

async function checkpointFiles(format: CheckpointFormat, config: object = CONFIG): Promise<ModelFiles> {
  const sink = new MemorySink();
  const json = config as Record<string, unknown>;
  await writeWeights(sink, randomTensors({ config: parseConfig(json), format, seed: 1, std: 0.02 }));
  return memoryFiles({ ...Object.fromEntries(sink.files), 'config.json': JSON.stringify(json) });
}

/** The same files, with an account of what is read of the weights. */
function counted(files: ModelFiles) {
  const account = { largest: 0, total: 0, inFlight: 0, mostInFlight: 0 };
  const open: ModelFiles['open'] = async (name) => {
    const source = await files.open(name);
    return {
      size: source.size,
      async read(begin, end) {
        const bytes = end - begin;
        account.largest = Math.max(account.largest, bytes);
        account.total += bytes;
        account.inFlight += bytes;
        account.mostInFlight = Math.max(account.mostInFlight, account.inFlight);
        await new Promise((resolve) => setTimeout(resolve, 1));
        account.inFlight -= bytes;
        return source.read(begin, end);
      },
    };
  };
  return { account, files: { names: files.names, open } };
}

describe.each([
  ['bf16', undefined],
  ['bnb-4bit', undefined],
  ['bf16', 'nf4'],
] as const)('%s, quantised on the way: %s', (format, quantize) => {
  test('in small reads, one ahead; the embedding of a model with a head of its own not at all', async () => {
    const { account, files } = counted(await checkpointFiles(format));
    const reported: number[] = [];
    let total = 0;
    await checked(device, async () => {
      const report = (_: string, bytes: number, all: number) => {
        reported.push(bytes);
        total = all;
      };
      const model = await loadModel(testGpu(), files, report, { quantize });
      expect(model.weights.get('model.layers.0.mlp.up_proj.weight').format).toBe(
        format === 'bf16' && !quantize ? 'BF16' : 'NF4',
      );
      model.weightMemory.destroy();
      model.cmd.destroy();
    });
    const MB = 2 ** 20;
    expect(account.largest).toBeLessThanOrEqual(4 * MB);
    expect(account.mostInFlight).toBeLessThanOrEqual(4 * MB);
    // Header and scales come on top of what is reported; the embedding stays where it is.
    expect(reported.at(-1)).toBe(total);
    expect(account.total).toBeGreaterThan(total);
    expect(account.total).toBeLessThan(total * 1.05 + 50_000);
    expect(reported.length).toBeGreaterThan(10);
  });
});

test('a head that is missing, and not said to be shared, is named', async () => {
  const tied = await checkpointFiles('bf16', { ...CONFIG, vocab_size: 64, tie_word_embeddings: true });
  const untied = { ...CONFIG, vocab_size: 64, tie_word_embeddings: false };
  const config = await memoryFiles({ 'config.json': JSON.stringify(untied) }).open('config.json');
  const files: ModelFiles = {
    names: tied.names,
    open: (name) => (name === 'config.json' ? Promise.resolve(config) : tied.open(name)),
  };
  const checkpoint = await Checkpoint.open(files);
  const tables = () => checkpointTables(checkpoint, parseConfig(checkpoint.config));
  expect(tables).toThrow(ConfigError);
  expect(tables).toThrow(/no tensor lm_head\.weight.*set tie_word_embeddings to true/);
});
