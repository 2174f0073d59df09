import { isNf4, nf4State, weightNames } from '../formats/bnb-nf4';
import type { Checkpoint } from '../formats/checkpoint';
import { decodeFloats, encodeFloats, FLOAT_BYTES, type FloatDtype, isFloatDtype } from '../formats/float';
import { dequantizeAbsmax, dequantizeNf4 } from '../formats/nf4-codec';
import { elementCount } from '../formats/safetensors';
import type { Merger } from './merge';
import type { OutputTensor } from './safetensors-out';

/** Elements handled at a time where a tensor need not be whole: 16 MB as f32. A multiple of every block size. */
const PIECE = 2 ** 22;

/**
 * The weights of a merged model: names and shapes of the source, floats in `dtype`, each value rounded once. A quantised
 * base is dequantised. A tied head is not written: readers take the embedding.
 */
export async function mergedWeights(
  checkpoint: Checkpoint,
  merger: Merger,
  dtype: FloatDtype,
): Promise<OutputTensor[]> {
  const tied = checkpoint.config.tie_word_embeddings === true;
  const tensors: OutputTensor[] = [];
  for (const name of weightNames(checkpoint)) {
    if (tied && name === 'lm_head.weight') continue;
    tensors.push(await outputTensor(checkpoint, merger, dtype, name));
  }
  return tensors;
}

async function outputTensor(
  checkpoint: Checkpoint,
  merger: Merger,
  dtype: FloatDtype,
  name: string,
): Promise<OutputTensor> {
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
  return {
    name,
    dtype,
    shape,
    async *bytes() {
      if (merger.has(name)) {
        const merged = await merger.merge(name, await read(0, count), shape);
        yield* pieces(merged, dtype);
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
