/**
 * The safetensors container: 8 bytes little-endian header length, a JSON header, then the tensors end to end.
 * Reading is strict: a file that the safetensors library would refuse is refused here, naming file and tensor.
 * Writing gives the library's bytes: tensors by dtype (widest alignment first) and then name, header padded to 8 bytes.
 */
import type { ByteSource } from './bytes';
import { duplicateKey } from './json-text';

/** Bytes per element, in the library's dtype order (its order in a written file is the reverse). */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  C64: 8,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

export type Dtype = keyof typeof DTYPE_BYTES;

const DTYPE_ORDER = Object.keys(DTYPE_BYTES) as Dtype[];
const MAX_HEADER_BYTES = 100_000_000; // the library's own limit

export interface TensorSpec {
  name: string;
  dtype: Dtype;
  shape: readonly number[];
}

/** `begin` and `end` are absolute offsets in the file. */
export interface TensorInfo extends TensorSpec {
  begin: number;
  end: number;
}

export interface SafetensorsHeader {
  /** In the order of the file's header. */
  tensors: Map<string, TensorInfo>;
  metadata: Record<string, string>;
}

/** A file that is not a sound safetensors file. `tensor` names the entry at fault, where there is one. */
export class SafetensorsError extends Error {
  readonly code = 'bad-safetensors';
  readonly file: string;
  readonly tensor: string | undefined;
  constructor(file: string, tensor: string | undefined, problem: string) {
    super(
      `${file}${tensor === undefined ? '' : `, tensor ${tensor}`}: ${problem}. Get the file again from its source.`,
    );
    this.name = 'SafetensorsError';
    this.file = file;
    this.tensor = tensor;
  }
}

const isCount = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;
const isRecord = (x: unknown): x is Record<string, unknown> => typeof x === 'object' && x !== null && !Array.isArray(x);

/** Number of elements of a shape; 1 for a scalar (empty shape). */
export const elementCount = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Reads and checks the header only. Throws {@link SafetensorsError}. */
export async function parseSafetensorsHeader(source: ByteSource, fileName: string): Promise<SafetensorsHeader> {
  const fail = (tensor: string | undefined, problem: string): never => {
    throw new SafetensorsError(fileName, tensor, problem);
  };
  if (source.size < 8) fail(undefined, `the file has ${source.size} bytes, too few for a safetensors header`);
  const prefix = await source.read(0, 8);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) fail(undefined, `the header claims ${length} bytes; not a safetensors file`);
  const dataStart = 8 + Number(length);
  if (dataStart > source.size) {
    fail(undefined, `the header claims ${length} bytes but the file has only ${source.size}; it is cut off or corrupt`);
  }
  const header = parseJson(await source.read(8, dataStart), fileName);

  const metadata: Record<string, string> = {};
  const tensors = new Map<string, TensorInfo>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') {
      if (!isRecord(entry)) fail(undefined, '__metadata__ is not an object');
      for (const [key, value] of Object.entries(entry as object)) {
        if (typeof value !== 'string') fail(undefined, `__metadata__.${key} is not a string`);
        metadata[key] = value;
      }
      continue;
    }
    tensors.set(name, readEntry(entry, name, dataStart, source.size, fail));
  }
  checkLayout([...tensors.values()], dataStart, source.size, fail);
  return { tensors, metadata };
}

function parseJson(bytes: Uint8Array, fileName: string): Record<string, unknown> {
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    header = JSON.parse(text);
  } catch {
    throw new SafetensorsError(fileName, undefined, 'the header is not JSON');
  }
  if (!isRecord(header)) throw new SafetensorsError(fileName, undefined, 'the header is not a JSON object');
  const twice = duplicateKey(text);
  if (twice !== null) throw new SafetensorsError(fileName, twice, 'it is listed twice in the header');
  return header;
}

type Fail = (tensor: string | undefined, problem: string) => never;

function readEntry(entry: unknown, name: string, dataStart: number, size: number, fail: Fail): TensorInfo {
  if (!isRecord(entry)) return fail(name, 'its header entry is not an object');
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BYTES, dtype)) {
    return fail(name, `unknown dtype ${JSON.stringify(dtype)}`);
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) return fail(name, `bad shape ${JSON.stringify(shape)}`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount) || offsets[0] > offsets[1]) {
    return fail(name, `bad data_offsets ${JSON.stringify(offsets)}`);
  }
  const [begin, end] = [offsets[0] + dataStart, offsets[1] + dataStart];
  if (end > size) {
    return fail(name, `its data ends at byte ${end} but the file has only ${size}; it is cut off or corrupt`);
  }
  const bytes = elementCount(shape) * DTYPE_BYTES[dtype as Dtype];
  if (bytes !== end - begin) {
    return fail(name, `shape [${shape}] of ${dtype} needs ${bytes} bytes but its offsets span ${end - begin}`);
  }
  return { name, dtype: dtype as Dtype, shape, begin, end };
}

/** Tensors must tile the data exactly: no overlap, no hole, nothing left over. */
function checkLayout(tensors: TensorInfo[], dataStart: number, size: number, fail: Fail): void {
  let at = dataStart;
  let previous = 'the header';
  for (const { name, begin, end } of tensors.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < at) fail(name, `its data overlaps that of ${previous}`);
    if (begin > at) fail(name, `a hole of ${begin - at} bytes lies before its data`);
    at = end;
    previous = name;
  }
  if (at !== size) fail(undefined, `${size - at} bytes after the last tensor belong to none`);
}

export interface SafetensorsLayout {
  /** The file's first bytes: length, JSON, padding. */
  header: Uint8Array<ArrayBuffer>;
  /** In the order in which their bytes must follow. */
  tensors: TensorInfo[];
  /** Bytes of the whole file. */
  size: number;
}

const utf8 = new TextEncoder();

/** Byte-wise order of UTF-8, which is code point order (JavaScript's `<` compares UTF-16 units). */
function compareNames(a: string, b: string): number {
  const [x, y] = [utf8.encode(a), utf8.encode(b)];
  for (let i = 0; i < Math.min(x.length, y.length); i++) if (x[i] !== y[i]) return x[i] - y[i];
  return x.length - y.length;
}

/** Lays out a file as the safetensors library does. Throws {@link SafetensorsError} when a name comes twice. */
export function serializeSafetensorsHeader(
  specs: readonly TensorSpec[],
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): SafetensorsLayout {
  const ordered = specs.toSorted(
    (a, b) => DTYPE_ORDER.indexOf(b.dtype) - DTYPE_ORDER.indexOf(a.dtype) || compareNames(a.name, b.name),
  );
  const entries: string[] = [];
  if (Object.keys(metadata).length > 0) entries.push(`"__metadata__":${JSON.stringify(metadata)}`);
  const tensors: TensorInfo[] = [];
  let at = 0;
  for (const { name, dtype, shape } of ordered) {
    if (tensors.at(-1)?.name === name) throw new SafetensorsError('(new file)', name, 'it is given twice');
    const end = at + elementCount(shape) * DTYPE_BYTES[dtype];
    entries.push(`${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${at},${end}]}`);
    tensors.push({ name, dtype, shape, begin: at, end });
    at = end;
  }
  const json = utf8.encode(`{${entries.join(',')}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  for (const tensor of tensors) {
    tensor.begin += header.length;
    tensor.end += header.length;
  }
  return { header, tensors, size: header.length + at };
}
