/** A merged weight written as bitsandbytes NF4 again. */
import { nf4Tensors } from '../formats/bnb-nf4';
import { bf16ToF32, f32ToBf16 } from '../formats/float';
import { type Nf4Quantized, quantizeNf4 } from '../formats/nf4-codec';
import { elementCount, type TensorSpec } from '../formats/safetensors';
import type { OutputTensor } from './safetensors-out';

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
 * 4-bit base). They are written at different places of a file: the small ones are kept from the first, the packed codes
 * are made again when their turn comes, so that no two weights are in memory.
 *
 * @param merged makes the merged weight in f32
 */
export function nf4OutputTensors(
  name: string,
  shape: readonly number[],
  merged: () => Promise<Float32Array>,
): OutputTensor[] {
  let small: Map<string, Uint8Array> | null = null;
  const quantize = async (): Promise<Nf4Quantized> => quantizeNf4(bf16ToF32(f32ToBf16(await merged())));
  const keep = async (): Promise<Map<string, Uint8Array>> => {
    if (small) return small;
    const tensors = nf4Tensors(name, await quantize(), shape, 'bfloat16').filter((tensor) => tensor.name !== name);
    small = new Map(
      tensors.map(({ name: key, bytes }) => [key, key.endsWith('bitsandbytes__nf4') ? padded(bytes) : bytes.slice()]),
    );
    return small;
  };
  return specs(name, shape).map((spec) => ({
    ...spec,
    async *bytes() {
      if (spec.name === name) yield (await quantize()).packed;
      else yield (await keep()).get(spec.name)!;
    },
  }));
}
