/** A model folder in Hugging Face layout: config.json and its weights in one safetensors file or in shards. */
import { type ByteSource, type ModelFiles, readJson } from './bytes';
import { type Dtype, parseSafetensorsHeader, type TensorInfo } from './safetensors';

export type CheckpointErrorCode =
  | 'missing-config'
  | 'missing-weights'
  | 'missing-shard'
  | 'missing-tensor'
  | 'wrong-shape'
  | 'bad-index'
  | 'bad-range';

/** A model folder that lacks something or contradicts itself. `tensor` and `file` name the part at fault. */
export class CheckpointError extends Error {
  readonly code: CheckpointErrorCode;
  readonly tensor: string | undefined;
  readonly file: string | undefined;
  constructor(code: CheckpointErrorCode, message: string, at: { tensor?: string; file?: string } = {}) {
    super(message);
    this.name = 'CheckpointError';
    this.code = code;
    this.tensor = at.tensor;
    this.file = at.file;
  }
}

export interface CheckpointTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** Base name of the file that holds it. */
  readonly file: string;
}

interface Place {
  info: TensorInfo;
  tensor: CheckpointTensor;
  source: ByteSource;
}

export const SINGLE_FILE = 'model.safetensors';
export const INDEX_FILE = 'model.safetensors.index.json';

export class Checkpoint {
  readonly config: Readonly<Record<string, unknown>>;
  readonly files: ModelFiles;
  readonly #places: Map<string, Place>;
  /** Memory of the last pieces, for the next ones. */
  #spare: [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>] | null = null;

  private constructor(files: ModelFiles, config: Record<string, unknown>, places: Map<string, Place>) {
    this.files = files;
    this.config = config;
    this.#places = places;
  }

  /**
   * Reads config.json and all headers; no weights yet. Throws {@link CheckpointError} or
   * {@link import('./safetensors').SafetensorsError}.
   */
  static async open(files: ModelFiles): Promise<Checkpoint> {
    if (!files.names.includes('config.json')) {
      throw new CheckpointError('missing-config', 'There is no config.json. Choose the folder of a whole model.', {
        file: 'config.json',
      });
    }
    const config = await readJson<Record<string, unknown>>(files, 'config.json');
    const places = new Map<string, Place>();
    if (files.names.includes(SINGLE_FILE)) await addFile(files, SINGLE_FILE, places);
    else if (files.names.includes(INDEX_FILE)) await addShards(files, places);
    else {
      throw new CheckpointError(
        'missing-weights',
        `There is neither ${SINGLE_FILE} nor ${INDEX_FILE}. Choose a model whose weights are in safetensors format.`,
      );
    }
    return new Checkpoint(files, config, places);
  }

  names(): string[] {
    return [...this.#places.keys()];
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  /** Throws {@link CheckpointError} `missing-tensor`. */
  tensor(name: string): CheckpointTensor {
    return this.#place(name).tensor;
  }

  /** The tensor, checked to be of this shape. Throws `missing-tensor` or `wrong-shape`, naming both shapes. */
  expect(name: string, shape: readonly number[]): CheckpointTensor {
    const place = this.#places.get(name);
    if (!place) {
      throw new CheckpointError(
        'missing-tensor',
        `The model has no tensor ${name} (of shape [${shape}]). Its files do not fit its config.json.`,
        { tensor: name },
      );
    }
    const { tensor } = place;
    if (tensor.shape.length !== shape.length || tensor.shape.some((n, i) => n !== shape[i])) {
      throw new CheckpointError(
        'wrong-shape',
        `${tensor.file}, tensor ${name}: its shape is [${tensor.shape}] where config.json asks for [${shape}]. ` +
          'Get the model again, or its config.json.',
        { tensor: name, file: tensor.file },
      );
    }
    return tensor;
  }

  /**
   * Bytes [begin, end) of a tensor, all of it by default. Only that range is read from the file; into `into`, as
   * {@link ByteSource} has it.
   */
  async read(
    name: string,
    begin = 0,
    end = Number.POSITIVE_INFINITY,
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { info, tensor, source } = this.#place(name);
    const stop = Math.min(end, tensor.byteLength);
    if (begin < 0 || begin > stop || (Number.isFinite(end) && end > tensor.byteLength)) {
      throw new CheckpointError('bad-range', `Bytes ${begin} to ${end} of ${name} lie outside it.`, { tensor: name });
    }
    return source.read(info.begin + begin, info.begin + stop, into);
  }

  /**
   * The bytes [begin, end) of a tensor in pieces of `size` bytes, the last one shorter; each is valid until the next is
   * asked for. The next piece is on its way while one is in use; no more than these two are in memory, and their memory is
   * used again for other tensors.
   */
  async *pieces(
    name: string,
    begin: number,
    end: number,
    size: number,
  ): AsyncIterable<{ at: number; bytes: Uint8Array<ArrayBuffer> }> {
    let [mine, other] = this.#spare?.[0].length === size ? this.#spare : [new Uint8Array(size), new Uint8Array(size)];
    this.#spare = null;
    const next = (at: number) => {
      const reading = at < end ? this.read(name, at, Math.min(at + size, end), mine) : null;
      reading?.catch(() => undefined); // told when its turn comes, unless the reader has left by then
      [mine, other] = [other, mine];
      return reading;
    };
    let ahead = next(begin);
    try {
      for (let at = begin; ahead; at += size) {
        const bytes = await ahead;
        ahead = next(at + size);
        yield { at, bytes };
      }
    } finally {
      await ahead?.catch(() => undefined); // it still writes there
      this.#spare = [mine, other];
    }
  }

  #place(name: string): Place {
    const place = this.#places.get(name);
    if (!place) {
      throw new CheckpointError('missing-tensor', `The model has no tensor ${name}. Get all of its files again.`, {
        tensor: name,
      });
    }
    return place;
  }
}

async function addFile(files: ModelFiles, file: string, places: Map<string, Place>): Promise<void> {
  const source = await files.open(file);
  const { tensors } = await parseSafetensorsHeader(source, file);
  for (const info of tensors.values()) {
    const { name, dtype, shape, begin, end } = info;
    const twin = places.get(name);
    if (twin) {
      throw new CheckpointError('bad-index', `${file} and ${twin.tensor.file} both hold tensor ${name}.`, {
        tensor: name,
        file,
      });
    }
    places.set(name, { info, source, tensor: { name, dtype, shape, byteLength: end - begin, file } });
  }
}

async function addShards(files: ModelFiles, places: Map<string, Place>): Promise<void> {
  const index = await readJson<{ weight_map?: unknown }>(files, INDEX_FILE);
  const map = index?.weight_map;
  if (typeof map !== 'object' || map === null || !Object.values(map).every((v) => typeof v === 'string')) {
    throw new CheckpointError('bad-index', `${INDEX_FILE} has no weight_map. Get the file again.`, {
      file: INDEX_FILE,
    });
  }
  const weightMap = map as Record<string, string>;
  for (const file of new Set(Object.values(weightMap))) {
    if (!files.names.includes(file)) {
      throw new CheckpointError('missing-shard', `${file} is missing, but ${INDEX_FILE} names it. Get it as well.`, {
        file,
      });
    }
    await addFile(files, file, places);
  }
  for (const [name, file] of Object.entries(weightMap)) {
    const found = places.get(name)?.tensor.file;
    if (found !== file) {
      throw new CheckpointError(
        'missing-tensor',
        `${file} has no tensor ${name}, but ${INDEX_FILE} says so${found ? ` (it is in ${found})` : ''}. Get both again.`,
        { tensor: name, file },
      );
    }
  }
}
