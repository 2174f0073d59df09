/** The weights of a merged model, each made when its turn comes. */
import { isNf4, weightNames } from '../formats/bnb-nf4';
import type { Checkpoint } from '../formats/checkpoint';
import type { FloatDtype } from '../formats/float';
import { type QuantizeOptions, quantizes } from '../model/quantize';
import type { Merger } from './merge';
import { nf4OutputTensors } from './nf4-out';
import { quantizedSource, type RowSource, readRows, rowSource } from './rows';
import type { OutputTensor } from './safetensors-out';

/**
 * What the adapter is added to.
 *
 * - `trained`: the weights it was trained on. A 4-bit base is dequantised.
 * - `source`: the checkpoint's own 16- or 32-bit weights, although training saw them in 4 bits.
 * - `nf4`: as `trained`, and the sum quantised to NF4 again: smallest, and rounded once more.
 */
export type MergeBase = 'trained' | 'source' | 'nf4';

/** `source`: each weight in the dtype it has in the checkpoint, or had before it was quantised. */
export type OutputDtype = FloatDtype | 'source';

export interface MergeForm {
  dtype: OutputDtype;
  base: MergeBase;
  /** How training quantised 16- or 32-bit weights as it loaded them, if it did. */
  quantize?: QuantizeOptions;
}

/** A weight of the merged model before it is rounded to a dtype. */
export interface MergedWeight {
  /** Rows to which the adapter is still to be added. */
  source: RowSource;
  /** Whether training saw it in NF4. */
  small: boolean;
}

/** Modules of a layer, as LlamaDecoderLayer declares them. */
const LAYER_ORDER = [
  'q_proj',
  'k_proj',
  'v_proj',
  'o_proj',
  'gate_proj',
  'up_proj',
  'down_proj',
  'input_layernorm',
  'post_attention_layernorm',
];

/** A weight's place in a model's state_dict: embedding, layers, norm, head. */
function place(name: string): [layer: number, module: number] {
  const layer = /^model\.layers\.(\d+)\..*?(\w+)\.weight$/u.exec(name);
  if (layer) return [Number(layer[1]), LAYER_ORDER.indexOf(layer[2])];
  const rank = ['model.norm.weight', 'lm_head.weight'].indexOf(name);
  return [name === 'model.embed_tokens.weight' ? -1 : Number.MAX_SAFE_INTEGER, rank < 0 ? 2 : rank];
}

/**
 * The names of the weights that a merged model has, in the order of transformers' state_dict: so shards of the same size
 * hold the same weights as those of save_pretrained. A tied head is not written: readers take the embedding.
 */
export function mergedNames(checkpoint: Checkpoint): string[] {
  const tied = checkpoint.config.tie_word_embeddings === true;
  const names = weightNames(checkpoint).filter((name) => !(tied && name === 'lm_head.weight'));
  const places = new Map(names.map((name) => [name, place(name)]));
  return names.sort((a, b) => {
    const [x, y] = [places.get(a)!, places.get(b)!];
    return x[0] - y[0] || x[1] - y[1];
  });
}

/** Null for a tensor that holds no floats. */
export async function mergedWeight(
  checkpoint: Checkpoint,
  merger: Merger,
  { base, quantize }: Pick<MergeForm, 'base' | 'quantize'>,
  name: string,
): Promise<MergedWeight | null> {
  const source = await rowSource(checkpoint, name);
  if (!source) return null;
  const onLoad = quantize !== undefined && quantizes(checkpoint, name, quantize);
  const small = onLoad || isNf4(checkpoint, name);
  return { source: onLoad && base !== 'source' ? quantizedSource(source, merger, quantize) : source, small };
}

/** The bytes of a merged weight in row order. */
export async function* mergedBytes({ source }: MergedWeight, merger: Merger, dtype: FloatDtype) {
  for await (const rows of readRows(source)) yield await merger.merge(source.name, rows, dtype);
}

/** The weights of a merged model: names and shapes of the source, each value rounded once to the output's dtype. */
export async function mergedWeights(checkpoint: Checkpoint, merger: Merger, form: MergeForm): Promise<OutputTensor[]> {
  const tensors: OutputTensor[] = [];
  for (const name of mergedNames(checkpoint)) {
    const weight = await mergedWeight(checkpoint, merger, form, name);
    if (!weight) tensors.push(copied(checkpoint, name));
    else if (form.base === 'nf4' && weight.small) tensors.push(...nf4OutputTensors(weight, merger));
    else {
      const dtype = form.dtype === 'source' ? weight.source.dtype : form.dtype;
      const bytes = () => mergedBytes(weight, merger, dtype);
      tensors.push({ name, dtype, shape: weight.source.shape, bytes });
    }
  }
  return tensors;
}

/** A tensor that is not of floats, as it is. */
function copied(checkpoint: Checkpoint, name: string): OutputTensor {
  const { dtype, shape } = checkpoint.tensor(name);
  return {
    name,
    dtype,
    shape,
    async *bytes() {
      yield await checkpoint.read(name);
    },
  };
}
