/** Whole safetensors files in memory: named tensors of any dtype, and texts beside them. */
import { memorySource } from './bytes';
import { parseSafetensorsHeader, serializeSafetensorsHeader, type TensorSpec } from './safetensors';

export interface NamedTensor extends TensorSpec {
  /** Little-endian values, as long as dtype and shape say. */
  bytes: Uint8Array<ArrayBuffer>;
}

type Typed = Float32Array | Float64Array | Uint32Array;

/** The bytes of an array, without a copy. */
export const bytesOf = (values: Typed): Uint8Array<ArrayBuffer> =>
  new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength);

/** The file's bytes. Throws SafetensorsError when a name comes twice, RangeError when bytes do not fill a shape. */
export function writeTensorFile(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const layout = serializeSafetensorsHeader(tensors, metadata);
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor.bytes]));
  const file = new Uint8Array(layout.size);
  file.set(layout.header);
  for (const { name, begin, end } of layout.tensors) {
    const bytes = byName.get(name)!;
    if (bytes.byteLength !== end - begin) throw new RangeError(`${name}: ${bytes.byteLength} bytes do not fill it`);
    file.set(bytes, begin);
  }
  return file;
}

export interface TensorFile {
  tensors: Map<string, NamedTensor>;
  metadata: Record<string, string>;
}

/** All tensors of a file, each a copy of its own (so that any alignment will do). Throws SafetensorsError. */
export async function readTensorFile(file: Uint8Array, name: string): Promise<TensorFile> {
  const { tensors, metadata } = await parseSafetensorsHeader(memorySource(file), name);
  const read = [...tensors.values()].map(({ name, dtype, shape, begin, end }): [string, NamedTensor] => [
    name,
    { name, dtype, shape, bytes: file.slice(begin, end) as Uint8Array<ArrayBuffer> },
  ]);
  return { tensors: new Map(read), metadata };
}
