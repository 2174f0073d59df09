import { describe, expect, it } from 'vitest';
import { exportAdapter, exportMerged, type MergedExport } from '../../src/export/export';
import { cpuMerger, findLora, type Merger, mergeLora } from '../../src/export/merge';
import { MemorySink } from '../../src/export/sink';
import { dequantizeWeight, isNf4, nf4State, weightNames } from '../../src/formats/bnb-nf4';
import { memoryFiles, memorySource } from '../../src/formats/bytes';
import { Checkpoint } from '../../src/formats/checkpoint';
import { asFloat32Array, decodeFloats, encodeFloats, type FloatDtype } from '../../src/formats/float';
import { ADAPTER_FILE, loraScale, parseAdapterConfig, readAdapter } from '../../src/formats/peft';
import { serializeSafetensorsHeader, type TensorSpec } from '../../src/formats/safetensors';
import { fixture, folderFiles, repositoryPath } from '../support/files';

const golden = (name: string) => fixture(`tests/goldens/stories-260k-lora/${name}`);
const adapter = await readAdapter(memorySource(await golden(ADAPTER_FILE)));
const adapterConfig = parseAdapterConfig(new TextDecoder().decode(await golden('adapter_config.json')));
const scale = loraScale(adapterConfig);
const merger = cpuMerger(adapter, scale);
const nothing = cpuMerger(new Map(), 1);
const open = async (path: string) => Checkpoint.open(await folderFiles(repositoryPath(path)));
const stories = await open('public/models/stories-260k');
const storiesNf4 = await open('tests/fixtures/models/stories-260k-bnb-4bit');

async function merge(checkpoint: Checkpoint, dtype: FloatDtype, more: Partial<MergedExport> = {}) {
  const sink = new MemorySink();
  const files = await exportMerged({ checkpoint, merger, dtype, card: '# A card\n', sink, ...more });
  expect(sink.state).toBe('closed');
  const bytes = Object.fromEntries(sink.files);
  expect(files).toEqual(Array.from(sink.files, ([name, file]) => ({ name, bytes: file.length })));
  return { bytes, merged: await Checkpoint.open(memoryFiles(bytes)) };
}

/** What a merged weight must be, in f32. */
async function expected(checkpoint: Checkpoint, name: string): Promise<Float32Array> {
  const base = isNf4(checkpoint, name)
    ? await dequantizeWeight(checkpoint, await nf4State(checkpoint, name))
    : decodeFloats(await checkpoint.read(name), checkpoint.tensor(name).dtype as FloatDtype);
  const [rows, columns] = stories.tensor(name).shape;
  const lora = findLora(adapter, scale, name);
  return lora ? mergeLora(base.slice(), { firstRow: 0, rows, columns }, lora) : base;
}

describe('a merged model', () => {
  it.each([
    ['F32', stories],
    ['BF16', stories],
    ['F16', storiesNf4],
    ['F32', storiesNf4],
  ] as const)('in %s has the source’s tensors with the adapter added, rounded once', async (dtype, source) => {
    const { merged } = await merge(source, dtype);
    expect(merged.names().toSorted()).toEqual(stories.names().toSorted());
    let changed = 0;
    for (const name of merged.names()) {
      merged.expect(name, stories.tensor(name).shape);
      expect(merged.tensor(name).dtype).toBe(dtype);
      const values = await expected(source, name);
      expect(Buffer.compare(await merged.read(name), encodeFloats(values, dtype)), name).toBe(0);
      if (merger.has(name)) changed++;
    }
    expect(changed).toBe(35);
  });

  it('is the source byte for byte when the adapter does nothing', async () => {
    const { bytes } = await merge(stories, 'F32', { merger: nothing });
    expect(
      Buffer.compare(bytes['model.safetensors'], await fixture('public/models/stories-260k/model.safetensors')),
    ).toBe(0);
  });

  it('has config, tokenizer, generation config and card; config.json last', async () => {
    const { bytes } = await merge(stories, 'BF16');
    expect(Object.keys(bytes)).toEqual([
      ...['model.safetensors', 'tokenizer.json', 'tokenizer_config.json'],
      ...['generation_config.json', 'README.md', 'config.json'],
    ]);
    const text = (name: string) => new TextDecoder().decode(bytes[name]);
    expect(JSON.parse(text('config.json'))).toEqual({ ...stories.config, torch_dtype: 'bfloat16' });
    expect(text('config.json')).toContain('"rope_theta": 10000.0');
    expect(JSON.parse(text('generation_config.json'))).toEqual({
      _from_model_config: true,
      bos_token_id: 1,
      eos_token_id: 2,
    });
    expect(Buffer.compare(bytes['tokenizer.json'], await fixture('public/models/stories-260k/tokenizer.json'))).toBe(0);
    expect(text('README.md')).toBe('# A card\n');
  });

  it('of a quantised base is no longer called quantised', async () => {
    const pocket = await open('public/models/pocket-15m-bnb-4bit');
    const { bytes, merged } = await merge(pocket, 'BF16', { merger: nothing });
    const { quantization_config, ...config } = pocket.config;
    expect(quantization_config).toBeDefined();
    expect(merged.config).toEqual({ ...config, dtype: 'bfloat16' });
    expect(bytes['chat_template.jinja']).toBeDefined();
    expect(merged.names().toSorted()).toEqual(weightNames(pocket).toSorted());
    expect(merged.tensor('model.layers.0.mlp.down_proj.weight').shape).toEqual([384, 1024]);
    expect(
      Buffer.compare(
        bytes['generation_config.json'],
        await fixture('public/models/pocket-15m-bnb-4bit/generation_config.json'),
      ),
    ).toBe(0);
  });

  it('comes in shards when asked for, with their index', async () => {
    const { bytes, merged } = await merge(stories, 'F32', { maxShardBytes: 300_000 });
    const { bytes: whole, merged: single } = await merge(stories, 'F32');
    const shards = Object.keys(bytes).filter((name) => /^model-0000\d-of-00004\.safetensors$/u.test(name));
    expect(shards).toHaveLength(4);
    expect(whole['model.safetensors.index.json']).toBeUndefined();
    const index = JSON.parse(new TextDecoder().decode(bytes['model.safetensors.index.json']));
    expect(index.metadata.total_size).toBe(260032 * 4);
    expect(Object.keys(index.weight_map)).toEqual(single.names().toSorted());
    for (const name of single.names()) {
      expect(Buffer.compare(await merged.read(name), await single.read(name)), name).toBe(0);
    }
  });

  it('has no head of its own when that is tied, and copies what is not a float', async () => {
    const specs: TensorSpec[] = [
      { name: 'lm_head.weight', dtype: 'F32', shape: [2, 2] },
      { name: 'model.embed_tokens.weight', dtype: 'F32', shape: [2, 2] },
      { name: 'counts', dtype: 'I64', shape: [2] },
    ];
    const layout = serializeSafetensorsHeader(specs);
    const file = Uint8Array.from({ length: layout.size }, (_, i) => layout.header[i] ?? i & 127);
    const source = (tied: boolean) =>
      Checkpoint.open(
        memoryFiles({ 'config.json': JSON.stringify({ tie_word_embeddings: tied }), 'model.safetensors': file }),
      );
    const { merged } = await merge(await source(true), 'F16');
    expect(merged.names().toSorted()).toEqual(['counts', 'model.embed_tokens.weight']);
    expect(await merged.read('counts')).toEqual(await (await source(true)).read('counts'));
    expect((await merge(await source(false), 'F16')).merged.has('lm_head.weight')).toBe(true);
  });

  it('tells its progress up to the total', async () => {
    const seen: number[] = [];
    await merge(stories, 'BF16', {
      onProgress: ({ bytes, totalBytes, file }) => {
        expect([totalBytes, file]).toEqual([260032 * 2, 'model.safetensors']);
        seen.push(bytes);
      },
    });
    expect(seen.at(-1)).toBe(260032 * 2);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  });

  it('leaves nothing behind when merging fails or is stopped', async () => {
    const run = async (more: Partial<MergedExport>, message: string) => {
      const sink = new MemorySink();
      const options = { checkpoint: stories, merger, dtype: 'F32', card: '', sink, ...more } as const;
      await expect(exportMerged(options)).rejects.toThrow(message);
      expect([sink.state, sink.files.size]).toEqual(['aborted', 0]);
    };
    const lost: Merger = {
      ...merger,
      merge(name, rows, dtype) {
        if (name?.includes('layers.3')) throw new Error('device lost');
        return merger.merge(name, rows, dtype);
      },
    };
    await run({ merger: lost }, 'device lost');
    await run(
      { merger: { ...merger, merge: async (_name, rows) => rows.bytes.subarray(1) } },
      'bytes were written where its shape needs',
    );
    const abort = new AbortController();
    const onProgress = ({ bytes }: { bytes: number }) => bytes > 500_000 && abort.abort(new Error('stopped'));
    await run({ signal: abort.signal, onProgress }, 'stopped');
  });
});

describe('an adapter', () => {
  it('is written as PEFT writes it', async () => {
    const sink = new MemorySink();
    await exportAdapter({ tensors: [...adapter.values()], config: adapterConfig, card: '# Adapter\n', sink });
    expect([...sink.files.keys()]).toEqual([ADAPTER_FILE, 'README.md', 'adapter_config.json']);
    for (const name of [ADAPTER_FILE, 'adapter_config.json']) {
      expect(Buffer.compare(sink.files.get(name)!, await golden(name)), name).toBe(0);
    }
  });
});

it('merges as float64 arithmetic does, to f32 rounding', async () => {
  const name = 'model.layers.4.mlp.gate_proj.weight';
  const { merged } = await merge(stories, 'F32');
  const values = asFloat32Array(await merged.read(name));
  const base = asFloat32Array(await stories.read(name));
  const prefix = 'base_model.model.model.layers.4.mlp.gate_proj.lora_';
  const [a, b] = ['A', 'B'].map((part) => adapter.get(`${prefix}${part}.weight`)!.values);
  let worst = 0;
  for (let o = 0; o < 172; o++) {
    for (let i = 0; i < 64; i++) {
      let sum = 0;
      for (let k = 0; k < 8; k++) sum += b[o * 8 + k] * a[k * 64 + i];
      worst = Math.max(worst, Math.abs(values[o * 64 + i] - (base[o * 64 + i] + 2 * sum)));
    }
  }
  expect(worst).toBeLessThan(2e-7);
});
