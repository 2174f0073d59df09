/** A merged weight written as bitsandbytes NF4 again. */
import { nf4Tensors } from '../formats/bnb-nf4';
import { type NestedAbsmax, quantizeAbsmax } from '../formats/nf4-codec';
import { elementCount, type TensorSpec } from '../formats/safetensors';
import type { BlockCodes, Merger } from './merge';
import { readRows } from './rows';
import type { OutputTensor } from './safetensors-out';
import type { MergedWeight } from './weights';

/** Room for the JSON of a quant state; readers ignore the spaces that fill it. */
const STATE_BYTES = 256;

const blocks = (shape: readonly number[]) => Math.ceil(elementCount(shape) / 64);

/** Names, dtypes and shapes of the tensors of one quantised weight, known before it is. */
function specs(name: string, shape: readonly number[]): TensorSpec[] {
  const count = blocks(shape);
  return [
    { name, dtype: 'U8', shape: [elementCount(shape) / 2, 1] },
    { name: `${name}.absmax`, dtype: 'U8', shape: [count] },
    { name: `${name}.quant_map`, dtype: 'F32', shape: [16] },
    { name: `${name}.nested_absmax`, dtype: 'F32', shape: [Math.ceil(count / 256)] },
    { name: `${name}.nested_quant_map`, dtype: 'F32', shape: [256] },
    { name: `${name}.quant_state.bitsandbytes__nf4`, dtype: 'U8', shape: [STATE_BYTES] },
  ];
}

function padded(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(STATE_BYTES).fill(0x20);
  out.set(bytes);
  return out;
}

/**
 * The tensors of a merged weight, quantised with double quantisation after one rounding to bfloat16 (as PEFT merges a
 * 4-bit base). A file has them at different places: its f32 tensors come before the codes of any weight. So the weight
 * is merged twice: once for the block maxima, of which only what f32 tensors need is kept, and again for the codes.
 */
export function nf4OutputTensors(weight: MergedWeight, merger: Merger): OutputTensor[] {
  const { name, shape } = weight.source;
  let nested: NestedAbsmax | null = null;
  /** One per block: 1/32 of the codes. From the codes' turn to that of `absmax`, which follows. */
  let absmaxCodes: Uint8Array | null = null;

  async function* codes(): AsyncIterable<BlockCodes> {
    for await (const rows of readRows(weight.source)) {
      yield await merger.quantize({ ...rows, format: 'BF16', bytes: await merger.merge(name, rows, 'BF16') });
    }
  }
  async function* packed(): AsyncIterable<Uint8Array> {
    const maxima = new Float32Array(blocks(shape));
    let at = 0;
    for await (const { codes: bytes, absmax } of codes()) {
      maxima.set(absmax, at);
      at += absmax.length;
      yield bytes;
    }
    keep(maxima);
  }
  const keep = (maxima: Float32Array) => {
    const quantised = quantizeAbsmax(maxima);
    absmaxCodes = quantised.codes;
    nested = { ...quantised, codes: new Uint8Array() };
  };
  const state = async (): Promise<NestedAbsmax> => {
    if (!nested) {
      for await (const _ of packed());
      absmaxCodes = null;
    }
    return nested!;
  };
  const absmax = async (): Promise<Uint8Array> => {
    if (!absmaxCodes) for await (const _ of packed());
    const bytes = absmaxCodes!;
    absmaxCodes = null;
    return bytes;
  };
  /** A small tensor, by what {@link nf4Tensors} makes of the state. */
  const small = async (key: string): Promise<Uint8Array> => {
    const q = { packed: new Uint8Array(), blocksize: 64, absmax: null, nested: await state() };
    const { bytes } = nf4Tensors(name, q, shape, 'bfloat16').find((tensor) => tensor.name === key)!;
    return key.endsWith('bitsandbytes__nf4') ? padded(bytes) : bytes;
  };
  return specs(name, shape).map((spec) => ({
    ...spec,
    group: name,
    async *bytes() {
      if (spec.name === name) yield* packed();
      else yield spec.name.endsWith('.absmax') ? await absmax() : await small(spec.name);
    },
  }));
}
