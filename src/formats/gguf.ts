/**
 * The GGUF container, version 3: magic, counts, metadata, a table of all tensors, then their bytes, each aligned to 32.
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { elementCount } from './safetensors';

export const GGUF_ALIGNMENT = 32;

/** Tensor types that are written, with ggml's number. */
export const GGML_TYPES = { F32: 0, F16: 1, Q8_0: 8 } as const;
export type GgmlType = keyof typeof GGML_TYPES;

/** Numbers of metadata value types. */
const VALUE_TYPES = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;

export type GgufValue =
  | { type: 'u32' | 'i32' | 'f32'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'string'; value: string }
  | { type: 'array'; of: 'string'; value: readonly string[] }
  | { type: 'array'; of: 'i32' | 'f32'; value: readonly number[] };

export interface GgufTensor {
  name: string;
  /** As in PyTorch, [rows, columns]; the file has the innermost dimension first. */
  shape: readonly number[];
  type: GgmlType;
}

export interface GgufLayout {
  /** All bytes before the first tensor's. */
  header: Uint8Array<ArrayBuffer>;
  /** Where each tensor lies in the file, and how many bytes fill it up to the next. */
  tensors: (GgufTensor & { begin: number; end: number; padding: number })[];
  /** Bytes of the whole file. */
  size: number;
}

/** Values of a Q8_0 block. */
export const Q8_BLOCK = 32;

/** @throws RangeError when Q8_0 does not divide the rows */
export function ggmlBytes({ shape, type, name }: GgufTensor): number {
  const count = elementCount(shape);
  if (type === 'F32') return 4 * count;
  if (type === 'F16') return 2 * count;
  if ((shape.at(-1) ?? 0) % Q8_BLOCK)
    throw new RangeError(`${name}: rows of ${shape.at(-1)} values are no Q8_0 blocks`);
  return (count / Q8_BLOCK) * (Q8_BLOCK + 2);
}

const aligned = (bytes: number): number => Math.ceil(bytes / GGUF_ALIGNMENT) * GGUF_ALIGNMENT;

/** Lays out a file. The tensors' bytes follow the header in this order, each with its padding of zeros behind it. */
export function ggufLayout(metadata: ReadonlyMap<string, GgufValue>, tensors: readonly GgufTensor[]): GgufLayout {
  const out = new Writer();
  out.bytes(new TextEncoder().encode('GGUF'));
  out.u32(3);
  out.u64(tensors.length);
  out.u64(metadata.size);
  for (const [key, value] of metadata) {
    out.string(key);
    out.value(value);
  }
  const places: { at: number; bytes: number }[] = [];
  let at = 0;
  for (const tensor of tensors) {
    const bytes = ggmlBytes(tensor);
    out.string(tensor.name);
    out.u32(tensor.shape.length);
    for (const n of tensor.shape.toReversed()) out.u64(n);
    out.u32(GGML_TYPES[tensor.type]);
    out.u64(at);
    places.push({ at, bytes });
    at += aligned(bytes);
  }
  const header = out.finish(GGUF_ALIGNMENT);
  return {
    header,
    tensors: tensors.map((tensor, i) => {
      const begin = header.length + places[i].at;
      const { bytes } = places[i];
      return { ...tensor, begin, end: begin + bytes, padding: aligned(bytes) - bytes };
    }),
    size: header.length + at,
  };
}

/** Little-endian bytes that grow. */
class Writer {
  #view = new DataView(new ArrayBuffer(2 ** 16));
  #length = 0;

  #room(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#view.byteLength) {
      const larger = new Uint8Array(Math.max(2 * this.#view.byteLength, this.#length));
      larger.set(new Uint8Array(this.#view.buffer, 0, at));
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  u32(value: number): void {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
  }

  u64(value: number): void {
    const at = this.#room(8);
    this.#view.setBigUint64(at, BigInt(value), true);
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    new Uint8Array(this.#view.buffer).set(bytes, at);
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.length);
    this.bytes(bytes);
  }

  value(value: GgufValue): void {
    this.u32(VALUE_TYPES[value.type]);
    if (value.type !== 'array') {
      this.#plain(value.type, value.value);
      return;
    }
    this.u32(VALUE_TYPES[value.of]);
    this.u64(value.value.length);
    for (const item of value.value) this.#plain(value.of, item);
  }

  #plain(type: Exclude<GgufValue['type'], 'array'>, value: number | string | boolean): void {
    if (type === 'string') {
      this.string(value as string);
      return;
    }
    if (type === 'bool') {
      this.bytes(Uint8Array.of(value ? 1 : 0));
      return;
    }
    const at = this.#room(4);
    if (type === 'f32') this.#view.setFloat32(at, value as number, true);
    else if (type === 'i32') this.#view.setInt32(at, value as number, true);
    else this.#view.setUint32(at, value as number, true);
  }

  /** All bytes, filled up with zeros to a multiple of `alignment`. */
  finish(alignment: number): Uint8Array<ArrayBuffer> {
    this.#room(Math.ceil(this.#length / alignment) * alignment - this.#length);
    return new Uint8Array(this.#view.buffer as ArrayBuffer, 0, this.#length);
  }
}
