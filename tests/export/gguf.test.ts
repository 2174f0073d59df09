/** GGUF files read back by @huggingface/gguf, which shares no code with the writer. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type GGUFParseOutput, gguf } from '@huggingface/gguf';
import { afterAll, describe, expect, it } from 'vitest';
import { exportGguf, exportMerged } from '../../src/export/export';
import { ropeFactors } from '../../src/export/gguf-model';
import { ggufTokenizer } from '../../src/export/gguf-tokenizer';
import { cpuMerger } from '../../src/export/merge';
import { MemorySink } from '../../src/export/sink';
import { isNf4, nf4State, weightNames } from '../../src/formats/bnb-nf4';
import { type ModelFiles, memoryFiles, memorySource, readJson, readText } from '../../src/formats/bytes';
import { Checkpoint } from '../../src/formats/checkpoint';
import { decodeFloats, encodeFloats } from '../../src/formats/float';
import { dequantizeQ8, quantizeQ8 } from '../../src/formats/gguf-q8';
import { ADAPTER_FILE, readAdapter } from '../../src/formats/peft';
import { parseConfig } from '../../src/model/config';
import { inverseFrequencies } from '../../src/model/rope';
import { fixture, folderFiles, repositoryPath } from '../support/files';

const folder = await mkdtemp(join(tmpdir(), 'orpo-gguf-'));
afterAll(() => rm(folder, { recursive: true }));

const open = async (path: string) => Checkpoint.open(await folderFiles(repositoryPath(path)));
const merger = cpuMerger(
  await readAdapter(memorySource(await fixture(`tests/goldens/stories-260k-lora/${ADAPTER_FILE}`))),
  2,
);
const nothing = cpuMerger(new Map(), 1);

interface Read extends GGUFParseOutput {
  file: Uint8Array;
  modelfile: string;
}

async function written(checkpoint: Checkpoint, type: 'F16' | 'Q8_0', adapter = merger): Promise<Read> {
  const sink = new MemorySink();
  const form = { type, base: 'trained', name: 'A model' } as const;
  await exportGguf({ checkpoint, merger: adapter, form, fileName: 'model', card: '# A card\n', sink });
  expect([...sink.files.keys()]).toEqual(['model.gguf', 'README.md', 'Modelfile']);
  const path = join(folder, `${type}-${Math.random()}.gguf`);
  await writeFile(path, sink.files.get('model.gguf')!);
  const parsed = await gguf(path, { allowLocalFile: true });
  const modelfile = new TextDecoder().decode(sink.files.get('Modelfile'));
  return { ...parsed, file: new Uint8Array(await readFile(path)), modelfile };
}

/** The tensors that transformers has, from the same merge. */
async function merged(checkpoint: Checkpoint, adapter = merger): Promise<Checkpoint> {
  const sink = new MemorySink();
  await exportMerged({ checkpoint, merger: adapter, dtype: 'F32', card: '', sink });
  return Checkpoint.open(memoryFiles(Object.fromEntries(sink.files)));
}

const GGML = { 0: 'F32', 1: 'F16', 8: 'Q8_0' } as Record<number, 'F32' | 'F16' | 'Q8_0'>;
const BYTES = { F32: [1, 4], F16: [1, 2], Q8_0: [32, 34] } as const;

/** All values of a file's tensors by name, from the table of the independent reader. */
function tensors({ tensorInfos, tensorDataOffset, file }: Read) {
  const out = new Map<string, { type: string; shape: number[]; values: Float32Array }>();
  let end = Number(tensorDataOffset);
  expect(end % 32).toBe(0);
  for (const { name, dtype, shape, offset } of tensorInfos) {
    const begin = Number(tensorDataOffset) + Number(offset);
    expect(begin, name).toBe(Math.ceil(end / 32) * 32);
    expect([...file.subarray(end, begin)].some((byte) => byte !== 0)).toBe(false);
    const type = GGML[dtype];
    const dims = shape.map(Number).reverse();
    const [values, bytes] = BYTES[type];
    end = begin + (dims.reduce((a, b) => a * b) / values) * bytes;
    const data = file.slice(begin, end);
    out.set(name, { type, shape: dims, values: type === 'Q8_0' ? dequantizeQ8(data) : decodeFloats(data, type) });
  }
  expect(file.length).toBe(Math.ceil(end / 32) * 32);
  return out;
}

/** llama.cpp's order of rows back in transformers': the other direction, as its own code for old checkpoints has it. */
function unpermute(values: Float32Array, heads: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  const dim = values.length / columns / heads;
  for (let h = 0; h < heads; h++) {
    for (let half = 0; half < 2; half++) {
      for (let j = 0; j < dim / 2; j++) {
        const from = (h * dim + 2 * j + half) * columns;
        out.set(values.subarray(from, from + columns), (h * dim + (half * dim) / 2 + j) * columns);
      }
    }
  }
  return out;
}

const NAMES: [RegExp, string][] = [
  [/^token_embd/, 'model.embed_tokens'],
  [/^output_norm/, 'model.norm'],
  [/^output\./, 'lm_head.'],
  [/^blk\.(\d+)\.attn_norm/, 'model.layers.$1.input_layernorm'],
  [/^blk\.(\d+)\.ffn_norm/, 'model.layers.$1.post_attention_layernorm'],
  [/^blk\.(\d+)\.attn_output/, 'model.layers.$1.self_attn.o_proj'],
  [/^blk\.(\d+)\.attn_(\w)/, 'model.layers.$1.self_attn.$2_proj'],
  [/^blk\.(\d+)\.ffn_(\w+)/, 'model.layers.$1.mlp.$2_proj'],
];
const hfName = (name: string) => NAMES.reduce((text, [from, to]) => text.replace(from, to), name);

const bytesOf = (values: Float32Array) => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

/** Half a step of 1/127 of each block's largest value, and the rounding of the scale to f16. */
function expectQ8(values: Float32Array, exact: Float32Array, name: string): void {
  for (let first = 0; first < exact.length; first += 32) {
    let top = 0;
    for (let i = first; i < first + 32; i++) top = Math.max(top, Math.abs(exact[i]));
    const allowed = top * (0.5 / 127 + 2 ** -11) * 1.001 + 127 * 2 ** -25;
    for (let i = first; i < first + 32; i++) {
      if (!(Math.abs(values[i] - exact[i]) <= allowed)) throw new Error(`${name} ${i}: ${values[i]} for ${exact[i]}`);
    }
  }
}

describe.each(['F16', 'Q8_0'] as const)('a model as GGUF in %s', (type) => {
  it.each([
    ['public/models/stories-260k', merger],
    ['tests/fixtures/models/stories-260k-bnb-4bit', merger],
    ['public/models/pocket-15m-bnb-4bit', nothing],
  ] as const)('%s has the merged weights under llama.cpp’s names', async (path, adapter) => {
    const checkpoint = path.includes('fixtures') ? await Checkpoint.open(await withTokenizer(path)) : await open(path);
    const config = parseConfig(checkpoint.config);
    const read = await written(checkpoint, type, adapter);
    const reference = await merged(checkpoint, adapter);
    const table = tensors(read);
    const names = new Set(weightNames(checkpoint));
    let rope = 0;
    for (const [name, { type: stored, shape, values }] of table) {
      if (name === 'rope_freqs.weight') {
        rope++;
        continue;
      }
      const own = hfName(name);
      expect(names.delete(own), own).toBe(true);
      expect(shape).toEqual(reference.tensor(own).shape);
      const matrix = shape.length > 1;
      const expectedType = matrix ? (type === 'Q8_0' && shape[1] % 32 ? 'F16' : type) : 'F32';
      expect(stored, name).toBe(expectedType);
      const heads = /attn_q/.test(name) ? config.heads : /attn_k\./.test(name) ? config.kvHeads : 0;
      const here = heads ? unpermute(values, heads, shape[1]) : values;
      const exact = decodeFloats(await reference.read(own), 'F32');
      if (stored === 'Q8_0') expectQ8(here, exact, name);
      else {
        const rounded = stored === 'F16' ? decodeFloats(encodeFloats(exact, 'F16'), 'F16') : exact;
        expect(Buffer.compare(bytesOf(here), bytesOf(rounded)), name).toBe(0);
      }
    }
    expect([...names]).toEqual([]);
    expect(rope).toBe(config.rope.type === 'llama3' ? 1 : 0);
    expect((read.metadata as unknown as Record<string, unknown>)['general.file_type']).toBe(type === 'F16' ? 1 : 7);
  });
});

/** The 4-bit fixture has no tokenizer of its own: it is that of the model that it was made of. */
async function withTokenizer(path: string): Promise<ModelFiles> {
  const [own, other] = [await folderFiles(repositoryPath(path)), await stories()];
  return {
    names: [...new Set([...own.names, ...other.names.filter((name) => name.startsWith('tokenizer'))])],
    open: (name) => (name.startsWith('tokenizer') ? other : own).open(name),
  };
}
const stories = () => folderFiles(repositoryPath('public/models/stories-260k'));

describe('metadata', () => {
  it('of a Llama 3 tokenizer and architecture', async () => {
    const checkpoint = await open('public/models/pocket-15m-bnb-4bit');
    const { metadata, modelfile } = await written(checkpoint, 'Q8_0', nothing);
    const {
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.merges': merges,
      ...rest
    } = metadata as Record<string, unknown>;
    const json = await readJson<{ model: { vocab: Record<string, number>; merges: [string, string][] } }>(
      checkpoint.files,
      'tokenizer.json',
    );
    expect(rest).toMatchObject({
      version: 3,
      'general.architecture': 'llama',
      'general.name': 'A model',
      'general.quantization_version': 2,
      'llama.block_count': 8,
      'llama.context_length': 2048,
      'llama.embedding_length': 384,
      'llama.feed_forward_length': 1024,
      'llama.attention.head_count': 6,
      'llama.attention.head_count_kv': 2,
      'llama.attention.key_length': 64,
      'llama.attention.layer_norm_rms_epsilon': Math.fround(1e-5),
      'llama.rope.freq_base': 500000,
      'llama.rope.dimension_count': 64,
      'llama.vocab_size': 8192,
      'tokenizer.ggml.model': 'gpt2',
      'tokenizer.ggml.pre': 'llama-bpe',
      'tokenizer.ggml.bos_token_id': 8176,
      'tokenizer.ggml.eos_token_id': 8185,
      'tokenizer.ggml.padding_token_id': 8180,
      'tokenizer.ggml.add_bos_token': true,
      'tokenizer.chat_template': await readText(checkpoint.files, 'chat_template.jinja'),
    });
    expect(tokens).toHaveLength(8192);
    for (const [text, id] of Object.entries(json.model.vocab)) expect((tokens as string[])[id]).toBe(text);
    expect(merges).toEqual(json.model.merges.map((pair) => pair.join(' ')));
    const types = rest['tokenizer.ggml.token_type'] as number[];
    expect([types[0], types[8176], types[8185]]).toEqual([1, 3, 3]);
    expect(modelfile).toMatch(/^FROM \.\/model\.gguf\nTEMPLATE """\{\{ if \.System \}\}<\|start_header_id\|>/);
    expect(modelfile).toContain('PARAMETER stop "<|eot_id|>"');
  });

  it('of a SentencePiece tokenizer, whose scores rank the pieces as its merges do', async () => {
    const { metadata, modelfile } = await written(await open('public/models/stories-260k'), 'F16');
    expect(metadata).toMatchObject({
      'tokenizer.ggml.model': 'llama',
      'tokenizer.ggml.pre': 'default',
      'tokenizer.ggml.bos_token_id': 1,
      'tokenizer.ggml.eos_token_id': 2,
      'tokenizer.ggml.unknown_token_id': 0,
      'tokenizer.ggml.add_bos_token': true,
      'tokenizer.ggml.add_eos_token': false,
      'tokenizer.ggml.add_space_prefix': true,
    });
    const record = metadata as unknown as Record<string, never[]>;
    const [tokens, scores, types] = ['tokens', 'scores', 'token_type'].map((key) => record[`tokenizer.ggml.${key}`]);
    expect(record['tokenizer.ggml.merges']).toBeUndefined();
    expect([types[0], types[1], types[tokens.indexOf('<0x0A>' as never)], types[300]]).toEqual([2, 3, 6, 1]);
    const json = await readJson<{ model: { merges: string[] } }>(await stories(), 'tokenizer.json');
    const ranks = json.model.merges.map((merge) => scores[tokens.indexOf(merge.replace(' ', '') as never)]);
    expect(ranks).toEqual(ranks.toSorted((a, b) => b - a));
    const single = tokens.filter((_, i) => types[i] === 1 && [...tokens[i]].length === 1);
    expect(single.every((text) => scores[tokens.indexOf(text)] < Math.min(...ranks))).toBe(true);
    expect(modelfile).toBe('FROM ./model.gguf\nTEMPLATE """{{ .Prompt }}"""\n');
  });

  it('divides frequencies so that Llama 3.1’s scaled ones come out', async () => {
    const config = parseConfig((await open('public/models/pocket-15m-bnb-4bit')).config);
    const factors = ropeFactors(config)!;
    const plain = inverseFrequencies({ ...config.rope, type: 'default' }, config.headDim);
    const scaled = inverseFrequencies(config.rope, config.headDim);
    for (let d = 0; d < 32; d++) expect(plain[d] / factors[d] / scaled[d]).toBeCloseTo(1, 6);
    expect([factors[0], factors[31]]).toEqual([1, 8]);
    expect(factors.some((f) => f > 1 && f < 8)).toBe(true);
  });

  it('of linear scaling are keys', async () => {
    const files = await stories();
    const config = { ...(await readJson<object>(files, 'config.json')), rope_scaling: { type: 'linear', factor: 4 } };
    const changed: ModelFiles = {
      names: files.names,
      open: async (name) =>
        name === 'config.json' ? memorySource(new TextEncoder().encode(JSON.stringify(config))) : files.open(name),
    };
    const { metadata } = await written(await Checkpoint.open(changed), 'F16');
    expect(metadata).toMatchObject({ 'llama.rope.scaling.type': 'linear', 'llama.rope.scaling.factor': 4 });
  });

  it('is refused where llama.cpp splits text in another way, by name', async () => {
    const files = await folderFiles(repositoryPath('public/models/pocket-15m-bnb-4bit'));
    const json = await readJson<Record<string, unknown>>(files, 'tokenizer.json');
    const withSplit = (pre: unknown, type = 'BPE') =>
      ggufTokenizer(
        memoryFiles({
          'tokenizer.json': JSON.stringify({ ...json, pre_tokenizer: pre, model: { ...(json.model as object), type } }),
        }),
        {},
        8192,
      );
    const bytes = { type: 'ByteLevel', use_regex: true };
    const digits = { type: 'Digits', individual_digits: true };
    const pre = async (p: unknown) => (await withSplit(p)).get('tokenizer.ggml.pre');
    expect(await pre({ type: 'Sequence', pretokenizers: [digits, bytes] })).toEqual({
      type: 'string',
      value: 'smollm',
    });
    expect(await pre(bytes)).toEqual({ type: 'string', value: 'gpt-2' });
    await expect(withSplit({ type: 'Whitespace' })).rejects.toMatchObject({ code: 'gguf-tokenizer' });
    await expect(withSplit(bytes, 'Unigram')).rejects.toMatchObject({ code: 'gguf-tokenizer' });
    await expect(ggufTokenizer(files, {}, 100)).rejects.toMatchObject({ code: 'gguf-tokenizer' });
  });
});

describe('Q8_0', () => {
  it('rounds as ggml’s reference does', () => {
    // With a largest value of 127 the scale is 1, so that rounding shows as it is.
    const values = new Float32Array(64);
    values.set([127, 2.5, -2.5, 0.49, -0.5, 0.5, -126.5, 1.5]);
    const bytes = quantizeQ8(values);
    expect([...new Int8Array(bytes.buffer).subarray(2, 10)]).toEqual([127, 3, -3, 0, -1, 1, -127, 2]);
    expect([...bytes.subarray(0, 2)]).toEqual([0x00, 0x3c]);
    expect(bytes.subarray(34)).toEqual(new Uint8Array(34));
    expect(bytes.length).toBe(68);
  });
});

it('the 4-bit fixture is 4-bit', async () => {
  const small = await open('tests/fixtures/models/stories-260k-bnb-4bit');
  const linear = small.names().filter((name) => isNf4(small, name));
  expect(linear).toHaveLength(35);
  expect((await nf4State(small, linear[0])).blocksize).toBe(64);
});
