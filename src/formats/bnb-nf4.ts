/**
 * bitsandbytes 4-bit checkpoints. A weight `P` is quantised when `P.quant_state.bitsandbytes__nf4` exists, whatever
 * config.json says: "dynamic" repositories leave some linear layers in 16 bits.
 *
 *     P                                    U8  [numel / 2, 1]         two codes per byte (other storage dtypes: same bytes)
 *     P.absmax                             U8  [blocks]               F32 when not double-quantised
 *     P.quant_map                          F32 [16]
 *     P.nested_absmax                      F32 [ceil(blocks / 256)]   only when double-quantised, like the next
 *     P.nested_quant_map                   F32 [256]
 *     P.quant_state.bitsandbytes__nf4      U8  [bytes of a JSON text]
 */
import type { Checkpoint, CheckpointTensor } from './checkpoint';
import { asFloat32Array } from './float';
import { dequantizeAbsmax, dequantizeNf4, type NestedAbsmax, NF4_CODE, type Nf4Quantized } from './nf4-codec';
import type { Dtype } from './safetensors';

/** What config.json of an NF4 checkpoint with double quantisation says under `quantization_config`. */
export const NF4_CONFIG = {
  _load_in_4bit: true,
  _load_in_8bit: false,
  bnb_4bit_compute_dtype: 'bfloat16',
  bnb_4bit_quant_storage: 'uint8',
  bnb_4bit_quant_type: 'nf4',
  bnb_4bit_use_double_quant: true,
  load_in_4bit: true,
  load_in_8bit: false,
  llm_int8_skip_modules: ['lm_head'],
  quant_method: 'bitsandbytes',
} as const;

const NF4_STATE = '.quant_state.bitsandbytes__nf4';
/** Suffixes of everything that belongs to a quantised weight beside the weight itself. */
const COMPANIONS = ['.absmax', '.quant_map', '.nested_absmax', '.nested_quant_map', NF4_STATE] as const;

/** A quantised checkpoint that cannot be used. `tensor` names the weight, where one is at fault. */
export class QuantizationError extends Error {
  readonly code: 'unsupported-quantization' | 'bad-quantization';
  readonly tensor: string | undefined;
  constructor(code: QuantizationError['code'], message: string, tensor?: string) {
    super(message);
    this.name = 'QuantizationError';
    this.code = code;
    this.tensor = tensor;
  }
}

/** A quantised weight: where its bytes are, and all that is needed to turn them into numbers. */
export interface Nf4State {
  name: string;
  /** The packed bytes; read them with `checkpoint.read(name, begin, end)`. */
  packed: CheckpointTensor;
  /** [out, in] of the weight. */
  shape: readonly number[];
  /** Weights per absmax; 64. */
  blocksize: number;
  /** Dtype of the weight before it was quantised, in torch's spelling. */
  dtype: string;
  /** 16 values. */
  quantMap: Float32Array;
  /** One per block; null when double-quantised: see {@link dequantizeAbsmax}. */
  absmax: Float32Array | null;
  nested: NestedAbsmax | null;
}

export const isNf4 = (checkpoint: Checkpoint, name: string): boolean => checkpoint.has(name + NF4_STATE);

/** Names of the weights themselves, without the tensors that describe how one is quantised. */
export function weightNames(checkpoint: Checkpoint): string[] {
  const companions = new Set<string>();
  for (const name of checkpoint.names()) {
    if (name.endsWith(NF4_STATE)) for (const c of COMPANIONS) companions.add(name.slice(0, -NF4_STATE.length) + c);
  }
  return checkpoint.names().filter((name) => !companions.has(name));
}

/**
 * Refuses, by name, quantisations other than NF4 as far as a config.json tells: before anything else is fetched. Throws
 * {@link QuantizationError} `unsupported-quantization`.
 */
export function assertReadableQuantizationConfig(config: Readonly<Record<string, unknown>>): void {
  const quantization = config.quantization_config as Record<string, unknown> | null | undefined;
  if (!quantization) return;
  const method = quantization.quant_method ?? 'bitsandbytes';
  if (method !== 'bitsandbytes') throw unsupported(String(method));
  if (quantization.load_in_8bit) throw unsupported('8-bit integers (bitsandbytes LLM.int8)');
  if (quantization.bnb_4bit_quant_type === 'fp4') throw unsupported('FP4 (bitsandbytes)');
}

/** The same of a checkpoint, from its tensors as well. */
export function assertReadableQuantization(checkpoint: Checkpoint): void {
  for (const name of checkpoint.names()) {
    if (name.endsWith('.quant_state.bitsandbytes__fp4')) {
      throw unsupported('FP4 (bitsandbytes)', name.split('.quant_state')[0]);
    }
    if (name.endsWith('.SCB')) {
      throw unsupported('8-bit integers (bitsandbytes LLM.int8)', `${name.slice(0, -'.SCB'.length)}.weight`);
    }
  }
  assertReadableQuantizationConfig(checkpoint.config);
}

const unsupported = (what: string, tensor?: string) =>
  new QuantizationError(
    'unsupported-quantization',
    `${tensor ? `${tensor} is` : 'This model is'} quantised as ${what}. ` +
      'Choose an unquantised model or one quantised to NF4 by bitsandbytes.',
    tensor,
  );

/** The state of a quantised weight. Throws {@link QuantizationError} or {@link import('./checkpoint').CheckpointError}. */
export async function nf4State(checkpoint: Checkpoint, name: string): Promise<Nf4State> {
  const fail = (problem: string): never => {
    throw new QuantizationError('bad-quantization', `${name}: ${problem}. Get the model again.`, name);
  };
  const meta = await readMeta(checkpoint, name, fail);
  const { shape, blocksize } = meta;
  const elements = shape.reduce((a, b) => a * b, 1);
  const blocks = Math.ceil(elements / blocksize);
  const packed = checkpoint.tensor(name);
  if (packed.byteLength !== elements / 2) {
    fail(`it holds ${packed.byteLength} packed bytes where its shape [${shape}] needs ${elements / 2}`);
  }
  const read = async (suffix: string, dtype: Dtype, count: number): Promise<Uint8Array> => {
    const tensor = checkpoint.expect(name + suffix, [count]);
    if (tensor.dtype !== dtype) fail(`${suffix.slice(1)} is ${tensor.dtype}, not ${dtype}`);
    return checkpoint.read(tensor.name);
  };
  const quantMap = asFloat32Array(await read('.quant_map', 'F32', 16));
  const base = { name, packed, shape, blocksize, dtype: meta.dtype, quantMap };
  if (!checkpoint.has(`${name}.nested_absmax`)) {
    return { ...base, absmax: asFloat32Array(await read('.absmax', 'F32', blocks)), nested: null };
  }
  const { nested_blocksize: nestedBlocksize, nested_offset: offset } = meta;
  if (!isSize(nestedBlocksize) || typeof offset !== 'number') return fail('its quant state lacks the nested fields');
  const nested: NestedAbsmax = {
    codes: await read('.absmax', 'U8', blocks),
    blocksize: nestedBlocksize,
    absmax: asFloat32Array(await read('.nested_absmax', 'F32', Math.ceil(blocks / nestedBlocksize))),
    map: asFloat32Array(await read('.nested_quant_map', 'F32', 256)),
    offset: Math.fround(offset),
  };
  return { ...base, absmax: null, nested };
}

/** Shape and torch dtype of a quantised weight before it was quantised; reads only the small JSON text beside it. */
export async function nf4Original(checkpoint: Checkpoint, name: string): Promise<{ shape: number[]; dtype: string }> {
  return readMeta(checkpoint, name, (problem) => {
    throw new QuantizationError('bad-quantization', `${name}: ${problem}. Get the model again.`, name);
  });
}

interface Meta {
  quant_type: string;
  blocksize: number;
  dtype: string;
  shape: number[];
  nested_blocksize?: number;
  nested_offset?: number;
}

const isSize = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) > 0;

async function readMeta(checkpoint: Checkpoint, name: string, fail: (problem: string) => never): Promise<Meta> {
  let meta: Meta;
  try {
    meta = JSON.parse(new TextDecoder().decode(await checkpoint.read(name + NF4_STATE))) as Meta;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    return fail('its quant state is not JSON');
  }
  if (meta?.quant_type !== 'nf4') fail(`its quant type is ${JSON.stringify(meta?.quant_type)}, not "nf4"`);
  if (!isSize(meta.blocksize)) fail(`its block size is ${JSON.stringify(meta.blocksize)}`);
  if (!Array.isArray(meta.shape) || !meta.shape.every(isSize)) fail(`its shape is ${JSON.stringify(meta.shape)}`);
  if (meta.shape.reduce((a, b) => a * b, 1) % 2) fail(`its shape [${meta.shape}] has an odd number of elements`);
  return meta;
}

/** A whole quantised weight as f32, unrounded (what the kernels multiply with). */
export async function dequantizeWeight(checkpoint: Checkpoint, state: Nf4State): Promise<Float32Array> {
  const out = new Float32Array(state.shape.reduce((a, b) => a * b, 1));
  const packed = await checkpoint.read(state.name);
  return dequantizeNf4(packed, dequantizeAbsmax(state), state.blocksize, out, { code: state.quantMap });
}

export interface NamedTensor {
  name: string;
  dtype: Dtype;
  shape: readonly number[];
  bytes: Uint8Array;
}

const bytesOf = (values: Readonly<Float32Array>): Uint8Array =>
  new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength);

/** The tensors of one quantised weight as bitsandbytes stores them. `dtype` is torch's name of the source dtype. */
export function nf4Tensors(name: string, q: Nf4Quantized, shape: readonly number[], dtype: string): NamedTensor[] {
  const f32 = (suffix: string, values: Readonly<Float32Array>): NamedTensor => ({
    name: name + suffix,
    dtype: 'F32',
    shape: [values.length],
    bytes: bytesOf(values),
  });
  const u8 = (suffix: string, bytes: Uint8Array, size: number[] = [bytes.length]): NamedTensor => ({
    name: name + suffix,
    dtype: 'U8',
    shape: size,
    bytes,
  });
  const tensors = [u8('', q.packed, [q.packed.length, 1]), f32('.quant_map', NF4_CODE)];
  if (q.nested) {
    const { codes, absmax, map } = q.nested;
    tensors.push(u8('.absmax', codes), f32('.nested_absmax', absmax), f32('.nested_quant_map', map));
  } else tensors.push(f32('.absmax', q.absmax as Float32Array));
  tensors.push(u8(NF4_STATE, quantState(q, shape, dtype)));
  return tensors;
}

/** What bitsandbytes notes of a quantised weight, as the bytes of its JSON. `dtype` as for {@link nf4Tensors}. */
export function quantState(
  { blocksize, nested }: { blocksize: number; nested: Pick<NestedAbsmax, 'blocksize' | 'offset'> | null },
  shape: readonly number[],
  dtype: string,
): Uint8Array {
  // Python's json.dumps puts a space after ':' and ','.
  const fields = [
    `"quant_type": "nf4"`,
    `"blocksize": ${blocksize}`,
    `"dtype": "${dtype}"`,
    `"shape": [${shape.join(', ')}]`,
  ];
  if (nested) {
    fields.push(
      `"nested_blocksize": ${nested.blocksize}`,
      `"nested_dtype": "float32"`,
      `"nested_offset": ${pythonFloat(nested.offset)}`,
    );
  }
  return new TextEncoder().encode(`{${fields.join(', ')}}`);
}

/** A finite double as Python's repr writes it: shortest digits, exponent form below 1e-4 and from 1e16. */
function pythonFloat(x: number): string {
  const a = Math.abs(x);
  if (x === 0 || (a >= 1e-4 && a < 1e16)) return Number.isInteger(x) ? `${Object.is(x, -0) ? '-0' : x}.0` : String(x);
  return x.toExponential().replace(/e([+-])(\d)$/u, 'e$10$2');
}
