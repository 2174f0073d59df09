/** Random access to the bytes of one file, wherever it lies: storage, a local file, a server. */
export interface ByteSource {
  /** Length in bytes. */
  readonly size: number;
  /**
   * The bytes [begin, end). They may lie in `into`, where that is given and long enough, so that many reads need not take
   * new memory each: then they are valid until `into` is used again. Rejects when the range is outside the file or the
   * read fails.
   */
  read(begin: number, end: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
}

/** `length` bytes to write to: those of `into`, where they are enough, else new ones. */
export const room = (length: number, into?: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> =>
  into && into.length >= length ? into.subarray(0, length) : new Uint8Array(length);

/** The files of one model: config.json, tokenizer.json, *.safetensors and so on, by their base names. */
export interface ModelFiles {
  readonly names: readonly string[];
  /** Rejects when there is no such file. */
  open(name: string): Promise<ByteSource>;
}

/** A whole (small) file as text. */
export async function readText(files: ModelFiles, name: string): Promise<string> {
  const source = await files.open(name);
  return new TextDecoder().decode(await source.read(0, source.size));
}

/** A whole (small) JSON file. Rejects with the file's name when it is not JSON. */
export async function readJson<T = unknown>(files: ModelFiles, name: string): Promise<T> {
  const text = await readText(files, name);
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new Error(`${name} is not valid JSON: ${(cause as Error).message}`, { cause });
  }
}

/** A source over bytes that are already in memory. */
export function memorySource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.byteLength,
    async read(begin, end) {
      if (begin < 0 || begin > end || end > bytes.byteLength) {
        throw new RangeError(`bytes ${begin} to ${end} lie outside a file of ${bytes.byteLength}`);
      }
      return new Uint8Array(bytes.subarray(begin, end));
    },
  };
}

/** Model files that are already in memory, by name. */
export function memoryFiles(files: Readonly<Record<string, Uint8Array | string>>): ModelFiles {
  return {
    names: Object.keys(files),
    async open(name) {
      const content = files[name];
      if (content === undefined) throw new Error(`There is no file ${name}.`);
      return memorySource(typeof content === 'string' ? new TextEncoder().encode(content) : content);
    },
  };
}
