/** A merged model as one GGUF file: the table of all tensors first, then each, some rows at a time. */
import type { Checkpoint } from '../formats/checkpoint';
import { asFloat32Array } from '../formats/float';
import { type GgmlType, type GgufLayout, type GgufTensor, ggufLayout } from '../formats/gguf';
import { quantizeQ8 } from '../formats/gguf-q8';
import { parseConfig } from '../model/config';
import { type GgufType, ggufModel, ggufName, ggufTensor, permutedHeads, permuteHeads, ropeFactors } from './gguf-model';
import { ggufTokenizer } from './gguf-tokenizer';
import type { Merger, RawRows } from './merge';
import { type RowSource, readRows } from './rows';
import type { OutputSink } from './sink';
import { type MergeForm, mergedNames, mergedWeight } from './weights';

export interface GgufForm {
  type: GgufType;
  /** `nf4` would round once more for nothing. */
  base: Exclude<MergeForm['base'], 'nf4'>;
  quantize?: MergeForm['quantize'];
  /** general.name */
  name: string;
}

export interface GgufPlan {
  layout: GgufLayout;
  /** The bytes of each tensor of the layout. */
  bytes: Map<string, () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>>;
  chatTemplate: string | null;
}

const encodeRows = async (rows: RawRows, merger: Merger, name: string, type: GgmlType): Promise<Uint8Array> => {
  if (type !== 'Q8_0') return merger.merge(name, rows, type);
  return quantizeQ8(asFloat32Array(await merger.merge(name, rows, 'F32')));
};

async function* tensorBytes(source: RowSource, merger: Merger, type: GgmlType, heads: number | null) {
  const headDim = heads ? source.shape[0] / heads : 1;
  for await (const rows of readRows(source, headDim)) {
    const bytes = await encodeRows(rows, merger, source.name, type);
    yield heads ? permuteHeads(bytes, headDim, bytes.length / rows.rows) : bytes;
  }
}

/** Lays out the file. Throws ConfigError or ExportError for what llama.cpp has no terms for. */
export async function planGguf(checkpoint: Checkpoint, merger: Merger, form: GgufForm): Promise<GgufPlan> {
  const config = parseConfig(checkpoint.config);
  const metadata = ggufModel(config, form.type, form.name);
  const tokenizer = await ggufTokenizer(checkpoint.files, checkpoint.config, config.vocabSize);
  for (const [key, value] of tokenizer) metadata.set(key, value);
  const tensors: GgufTensor[] = [];
  const bytes: GgufPlan['bytes'] = new Map();
  const factors = ropeFactors(config);
  if (factors) {
    tensors.push({ name: 'rope_freqs.weight', shape: [factors.length], type: 'F32' });
    bytes.set('rope_freqs.weight', () => [new Uint8Array(factors.buffer)]);
  }
  for (const own of mergedNames(checkpoint)) {
    const name = ggufName(own);
    if (name === null) continue;
    const weight = await mergedWeight(checkpoint, merger, form, own);
    if (!weight) throw new TypeError(`${own} does not hold numbers that can be merged.`);
    const { source } = weight;
    const tensor = ggufTensor(name, source.shape, form.type);
    tensors.push(tensor);
    bytes.set(name, () => tensorBytes(source, merger, tensor.type, permutedHeads(own, config)));
  }
  const template = metadata.get('tokenizer.chat_template');
  const chatTemplate = template?.type === 'string' ? template.value : null;
  return { layout: ggufLayout(metadata, tensors), bytes, chatTemplate };
}

/** Writes the file; `onBytes` is called with each number of bytes written. Throws when a tensor's bytes do not fit its shape. */
export async function writeGguf(
  sink: OutputSink,
  fileName: string,
  { layout, bytes }: GgufPlan,
  onBytes: (bytes: number, file: string) => void = () => {},
): Promise<{ name: string; bytes: number }> {
  const file = await sink.open(fileName, layout.size);
  const write = async (piece: Uint8Array) => {
    await file.write(piece);
    onBytes(piece.length, fileName);
  };
  await write(layout.header);
  for (const { name, begin, end, padding } of layout.tensors) {
    let at = begin;
    for await (const piece of bytes.get(name)!()) {
      await write(piece);
      at += piece.length;
    }
    if (at !== end) throw new Error(`${name}: ${at - begin} bytes were written where its shape needs ${end - begin}`);
    if (padding) await write(new Uint8Array(padding));
  }
  await file.close();
  return { name: fileName, bytes: layout.size };
}
