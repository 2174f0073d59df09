import { isNf4, nf4State, weightNames } from '../formats/bnb-nf4';
import type { Checkpoint } from '../formats/checkpoint';
import {
  bf16ToF32,
  decodeFloats,
  encodeFloats,
  FLOAT_BYTES,
  type FloatDtype,
  f32ToBf16,
  isFloatDtype,
} from '../formats/float';
import { dequantizeAbsmax, dequantizeNf4, quantizeNf4 } from '../formats/nf4-codec';
import { elementCount } from '../formats/safetensors';
import type { Merger } from './merge';
import { nf4OutputTensors } from './nf4-out';
import type { OutputTensor } from './safetensors-out';

/** Elements handled at a time where a tensor need not be whole: 16 MB as f32. A multiple of every block size. */
const PIECE = 2 ** 22;

/**
 * What the adapter is added to.
 *
 * - `trained`: the weights it was trained on. A 4-bit base is dequantised.
 * - `source`: the checkpoint's own 16- or 32-bit weights, although training saw them in 4 bits.
 * - `nf4`: as `trained`, and the sum quantised to NF4 again: smallest, and rounded once more.
 */
export type MergeBase = 'trained' | 'source' | 'nf4';

export interface MergeForm {
  dtype: FloatDtype;
  base: MergeBase;
  /** Whether training saw this weight in NF4 although the checkpoint holds it in 16 or 32 bits. */
  quantizedOnLoad?: (name: string) => boolean;
}

/**
 * The weights of a merged model: names and shapes of the source, floats in `dtype`, each value rounded once. A tied head
 * is not written: readers take the embedding.
 */
export async function mergedWeights(checkpoint: Checkpoint, merger: Merger, form: MergeForm): Promise<OutputTensor[]> {
  const tied = checkpoint.config.tie_word_embeddings === true;
  const tensors: OutputTensor[] = [];
  for (const name of weightNames(checkpoint)) {
    if (tied && name === 'lm_head.weight') continue;
    const small = isNf4(checkpoint, name) || form.quantizedOnLoad?.(name) === true;
    if (form.base === 'nf4' && small) {
      const { shape, merged } = await mergedSource(checkpoint, merger, form, name);
      tensors.push(...nf4OutputTensors(name, shape, merged));
    } else tensors.push(await outputTensor(checkpoint, merger, form, name));
  }
  return tensors;
}

/** A weight as the form wants it, merged, in f32. */
async function mergedSource(checkpoint: Checkpoint, merger: Merger, form: MergeForm, name: string) {
  const source = await reader(checkpoint, name);
  if (!source) throw new TypeError(`${name} does not hold numbers that can be merged`);
  const { shape, read } = source;
  const asTrained = form.base !== 'source' && form.quantizedOnLoad?.(name) === true;
  const merged = async (): Promise<Float32Array> => {
    let values = await read(0, elementCount(shape));
    if (asTrained) values = throughNf4(values);
    return merger.has(name) ? merger.merge(name, values, shape) : values;
  };
  return { shape, merged, asTrained };
}

/** What quantising to NF4 and back leaves of a weight. */
function throughNf4(values: Float32Array): Float32Array {
  const q = quantizeNf4(bf16ToF32(f32ToBf16(values)));
  return dequantizeNf4(q.packed, dequantizeAbsmax(q), q.blocksize, values);
}

async function outputTensor(
  checkpoint: Checkpoint,
  merger: Merger,
  form: MergeForm,
  name: string,
): Promise<OutputTensor> {
  const { dtype } = form;
  const source = await reader(checkpoint, name);
  if (!source) {
    // Not floats: copied as it is.
    const { dtype: stored, shape } = checkpoint.tensor(name);
    return {
      name,
      dtype: stored,
      shape,
      bytes: async function* () {
        yield await checkpoint.read(name);
      },
    };
  }
  const { shape, read } = source;
  const count = elementCount(shape);
  const { merged, asTrained } = await mergedSource(checkpoint, merger, form, name);
  return {
    name,
    dtype,
    shape,
    async *bytes() {
      if (merger.has(name) || asTrained) {
        yield* pieces(await merged(), dtype);
        return;
      }
      for (let at = 0; at < count; at += PIECE) yield encodeFloats(await read(at, Math.min(count, at + PIECE)), dtype);
    },
  };
}

function* pieces(values: Float32Array, dtype: FloatDtype): Iterable<Uint8Array> {
  for (let at = 0; at < values.length; at += PIECE) yield encodeFloats(values.subarray(at, at + PIECE), dtype);
}

interface Reader {
  shape: readonly number[];
  /** Elements [begin, end) as f32 in memory of their own; `begin` a multiple of {@link PIECE}. */
  read(begin: number, end: number): Promise<Float32Array>;
}

async function reader(checkpoint: Checkpoint, name: string): Promise<Reader | null> {
  if (isNf4(checkpoint, name)) {
    const { shape } = await nf4State(checkpoint, name);
    return {
      shape,
      async read(begin, end) {
        const state = await nf4State(checkpoint, name); // not kept: there are hundreds
        const packed = await checkpoint.read(name, begin / 2, Math.ceil(end / 2));
        const out = new Float32Array(end - begin);
        return dequantizeNf4(packed, dequantizeAbsmax(state), state.blocksize, out, { begin, code: state.quantMap });
      },
    };
  }
  const { dtype, shape } = checkpoint.tensor(name);
  if (!isFloatDtype(dtype)) return null;
  const size = FLOAT_BYTES[dtype];
  return {
    shape,
    read: async (begin, end) => decodeFloats(await checkpoint.read(name, begin * size, end * size), dtype),
  };
}
