/** Merged models of any size: the source's files again, a few megabytes in memory at a time, zips beyond 4 GB. */
import { describe, expect, it } from 'vitest';
import { knownConfig } from '../../src/cli/checkpoint/configs';
import { writeCheckpoint } from '../../src/cli/checkpoint/write';
import { exportMerged, type MergedExport } from '../../src/export/export';
import { cpuMerger } from '../../src/export/merge';
import { exportTo, MemorySink, type OutputSink } from '../../src/export/sink';
import { ZipSink } from '../../src/export/zip-sink';
import { type ModelFiles, memoryFiles, memorySource, readJson } from '../../src/formats/bytes';
import { Checkpoint, INDEX_FILE } from '../../src/formats/checkpoint';
import { type AdapterTensor, loraKey } from '../../src/formats/peft';
import { parseSafetensorsHeader, serializeSafetensorsHeader, type TensorSpec } from '../../src/formats/safetensors';
import { folderFiles, repositoryPath } from '../support/files';

/** An adapter for one module of layer 0. */
function adapter(
  module: 'q_proj' | 'gate_proj',
  rows: number,
  columns: number,
  rank: number,
): Map<string, AdapterTensor> {
  const tensor = (part: 'A' | 'B', shape: number[]): AdapterTensor => {
    const values = Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => Math.sin(i * 0.7 + shape[0]) * 0.05);
    return { name: loraKey({ layer: 0, module, part }), shape, values };
  };
  const tensors = [tensor('A', [rank, columns]), tensor('B', [rows, rank])];
  return new Map(tensors.map((t) => [t.name, t]));
}

interface Header {
  [file: string]: Record<string, { dtype: string; shape: readonly number[] }>;
}

/** dtype and shape of every tensor of every safetensors file. */
async function headers(files: ModelFiles): Promise<Header> {
  const out: Header = {};
  for (const name of files.names.filter((n) => n.endsWith('.safetensors')).toSorted()) {
    const { tensors } = await parseSafetensorsHeader(await files.open(name), name);
    out[name] = Object.fromEntries(Array.from(tensors.values(), ({ name: n, dtype, shape }) => [n, { dtype, shape }]));
  }
  return out;
}

describe('a merged model has the files of its source', () => {
  const config = {
    ...knownConfig('llama-3-8b'),
    hidden_size: 64,
    intermediate_size: 160,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 16,
    vocab_size: 512,
  };

  async function sourceAndMerged(format: 'bf16' | 'bnb-4bit', more: Partial<MergedExport>) {
    const shardBytes = format === 'bf16' ? 120_000 : 60_000;
    const tokenizer = await folderFiles(repositoryPath('public/models/stories-260k'));
    const written = new MemorySink();
    await writeCheckpoint({ config, format, seed: 3, shardBytes, tokenizer, sink: written });
    const source = memoryFiles(Object.fromEntries(written.files));
    const sink = new MemorySink();
    const merger = cpuMerger(adapter('q_proj', 64, 64, 8), 2);
    const checkpoint = await Checkpoint.open(source);
    await exportMerged({ checkpoint, merger, dtype: 'source', card: '', sink, maxShardBytes: shardBytes, ...more });
    return { source, merged: memoryFiles(Object.fromEntries(sink.files)) };
  }

  it('in 16 bits: the same shards, index, names, dtypes and shapes, and only trained weights changed', async () => {
    const { source, merged } = await sourceAndMerged('bf16', {});
    const theirs = await headers(source);
    expect(Object.keys(theirs).length).toBeGreaterThanOrEqual(4);
    expect(await headers(merged)).toEqual(theirs);
    expect(await readJson(merged, INDEX_FILE)).toEqual(await readJson(source, INDEX_FILE));
    const [before, after] = [await Checkpoint.open(source), await Checkpoint.open(merged)];
    const changed: string[] = [];
    for (const name of before.names()) {
      if (Buffer.compare(await before.read(name), await after.read(name))) changed.push(name);
    }
    expect(changed).toEqual(['model.layers.0.self_attn.q_proj.weight']);
    expect(after.config).toEqual(before.config);
  });

  it('in NF4 again: the same names and dtypes, a weight’s scales in the weight’s file', async () => {
    const { source, merged } = await sourceAndMerged('bnb-4bit', { base: 'nf4' });
    const dtypes = async (files: ModelFiles) =>
      Object.fromEntries(
        Object.values(await headers(files)).flatMap((file) =>
          Object.entries(file).map(([name, { dtype, shape }]) => [
            name,
            // The JSON of a quant state is as long as its numbers are.
            name.includes('quant_state') ? dtype : { dtype, shape },
          ]),
        ),
      );
    expect(await dtypes(merged)).toEqual(await dtypes(source));
    const { metadata, weight_map: map } = await readJson<{
      metadata: { total_size: number };
      weight_map: Record<string, string>;
    }>(merged, INDEX_FILE);
    expect(new Set(Object.values(map)).size).toBeGreaterThanOrEqual(3);
    for (const name of Object.keys(map)) {
      const weight = name.replace(/\.weight\..*$/u, '.weight');
      expect(map[name], name).toBe(map[weight]);
    }
    const after = await Checkpoint.open(merged);
    expect(metadata.total_size).toBe(after.names().reduce((sum, name) => sum + after.tensor(name).byteLength, 0));
  });
});

/** A checkpoint of large tensors that are made as they are read, with a record of how much was asked for at once. */
function largeFiles(specs: TensorSpec[]) {
  const { header, size } = serializeSafetensorsHeader(specs);
  const pattern = new Uint8Array(2 ** 24 + 7);
  for (let i = 0; i < pattern.length; i += 2) {
    // bf16 values of about 0.01 in size and either sign.
    pattern[i] = (i * 2654435761) >>> 24;
    pattern[i + 1] = 0x3b | ((i * 40503) & 0x80);
  }
  const reads = { most: 0, bytes: 0 };
  const files: ModelFiles = {
    names: ['config.json', 'model.safetensors'],
    async open(name) {
      if (name === 'config.json') return memorySource(new TextEncoder().encode('{"torch_dtype": "bfloat16"}'));
      return {
        size,
        async read(begin, end) {
          const bytes = new Uint8Array(end - begin);
          if (begin < header.length) {
            bytes.set(header.subarray(begin, Math.min(end, header.length)));
            return bytes;
          }
          reads.most = Math.max(reads.most, bytes.length);
          reads.bytes += bytes.length;
          for (let at = 0; at < bytes.length; at += 2 ** 24)
            bytes.set(pattern.subarray(0, Math.min(2 ** 24, bytes.length - at)), at);
          return bytes;
        },
      };
    },
  };
  return { files, reads };
}

/** Takes everything and keeps nothing, with a record of the largest piece and of the memory in use. */
function measuringSink() {
  const before = process.memoryUsage();
  const seen = { mostBytes: 0, bytes: 0, peak: 0 };
  const sink: OutputSink = {
    open: async () => ({
      async write(bytes) {
        seen.mostBytes = Math.max(seen.mostBytes, bytes.length);
        seen.bytes += bytes.length;
        const { heapUsed, arrayBuffers } = process.memoryUsage();
        seen.peak = Math.max(seen.peak, heapUsed + arrayBuffers - before.heapUsed - before.arrayBuffers);
      },
      close: async () => {},
    }),
    close: async () => {},
    abort: async () => {},
  };
  return { sink, seen };
}

describe('memory while an 8B’s tensors are merged', () => {
  const [rows, columns] = [14336, 4096];
  const specs: TensorSpec[] = [
    { name: 'model.layers.0.mlp.gate_proj.weight', dtype: 'BF16', shape: [rows, columns] },
    { name: 'model.embed_tokens.weight', dtype: 'BF16', shape: [8192, columns] },
  ];
  const bytes = 2 * (rows + 8192) * columns;

  it.each([
    ['16 bits', {}, bytes, bytes],
    ['quantised on load', { quantize: {} }, 2 * rows * columns + bytes, bytes],
  ] as [string, Partial<MergedExport>, number, number][])('%s', async (_, more, read, written) => {
    const { files, reads } = largeFiles(specs);
    const { sink, seen } = measuringSink();
    const merger = cpuMerger(adapter('gate_proj', rows, columns, 4), 2);
    await exportMerged({ checkpoint: await Checkpoint.open(files), merger, dtype: 'BF16', card: '', sink, ...more });
    expect(reads.bytes).toBe(read);
    expect(seen.bytes).toBeGreaterThanOrEqual(written);
    expect(reads.most).toBeLessThanOrEqual(2 ** 23);
    expect(seen.mostBytes).toBeLessThanOrEqual(2 ** 23);
    expect(seen.peak / 1e6, 'megabytes beyond what was in use before').toBeLessThan(300);
  });
});

it('a zip of more than 4 GiB says so in zip64', async () => {
  const sink = new ZipSink('big');
  const piece = new Uint8Array(2 ** 23);
  const pieces = 2 ** 9 + 1;
  const done = exportTo(sink, async (out) => {
    for (const [name, count] of [
      ['a.safetensors', pieces],
      ['config.json', 0],
    ] as const) {
      const file = await out.open(name, count * piece.length);
      for (let i = 0; i < count; i++) await file.write(piece);
      await file.close();
    }
  });
  let size = 0;
  let tail = Buffer.alloc(0);
  for await (const bytes of sink.stream as unknown as AsyncIterable<Uint8Array>) {
    size += bytes.length;
    tail = Buffer.concat([tail, bytes]).subarray(-2000);
  }
  await done;
  const fileBytes = pieces * piece.length;
  expect(size).toBeGreaterThan(fileBytes);
  // End record, zip64 locator and zip64 end record, by their signatures.
  const locator = tail.lastIndexOf(Buffer.from('PK\x06\x07', 'latin1'));
  const end = tail.lastIndexOf(Buffer.from('PK\x06\x06', 'latin1'));
  expect([locator, end].every((at) => at > 0)).toBe(true);
  expect(Number(tail.readBigUInt64LE(end + 32))).toBe(2);
  const directory = Number(tail.readBigUInt64LE(end + 48));
  expect(directory).toBeGreaterThan(fileBytes);
  expect(Number(tail.readBigUInt64LE(locator + 8))).toBe(size - tail.length + end);
  // The first entry of the central directory: sizes in its zip64 extra field, of id 1.
  const entry = directory - (size - tail.length);
  expect(tail.readUInt32LE(entry)).toBe(0x02014b50);
  expect([tail.readUInt32LE(entry + 20), tail.readUInt32LE(entry + 24)]).toEqual([0xffffffff, 0xffffffff]);
  const extra = entry + 46 + tail.readUInt16LE(entry + 28);
  expect(tail.readUInt16LE(extra)).toBe(1);
  expect(Number(tail.readBigUInt64LE(extra + 4))).toBe(fileBytes);
});
