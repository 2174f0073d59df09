/** Frozen weights: from a checkpoint to the GPU, tensor by tensor in small pieces, in the format they are stored in. */
import { assertReadableQuantization, isNf4, nf4State } from '../formats/bnb-nf4';
import type { Checkpoint } from '../formats/checkpoint';
import { decodeFloats, isFloatDtype } from '../formats/float';
import type { Commands } from '../gpu/commands';
import { GpuError } from '../gpu/errors';
import type { BufferSpec, Memory } from '../gpu/memory';
import type { Weight, WeightFormat, WeightPart } from '../ops/weight';
import type { LlamaConfig } from './config';
import { ConfigError } from './config';
import { EmbeddingRows } from './embedding-rows';
import {
  type DeviceLimits,
  EMBEDDING,
  NF4_TABLE,
  partRows,
  scaleWords,
  type WeightTable,
  weightSpecs,
  weightTables,
} from './plan';
import { Nf4Quantizer, type Nf4Scales, QUANTIZE_DEFAULTS, type QuantizeOptions, quantizes } from './quantize';

const HEAD = 'lm_head.weight';
const PIECE = 4 * 2 ** 20;
/** Bytes that may wait for the GPU: what is written is copied, and without waiting a whole model would queue up. */
const AHEAD = 64 * 2 ** 20;

export type LoadProgress = (tensor: string, bytes: number, totalBytes: number) => void;

export interface WeightOptions {
  /** Linear layers that are not NF4 become so. */
  quantize?: QuantizeOptions;
  /** As in `LoadOptions`. */
  makeRoom?: () => Promise<void>;
}

/** The format in which a tensor will lie on the GPU. Throws for dtypes that are no weights. */
export function storedFormat(checkpoint: Checkpoint, name: string, { quantize }: WeightOptions = {}): WeightFormat {
  if (isNf4(checkpoint, name) || (quantize && quantizes(checkpoint, name, quantize))) return 'NF4';
  const { dtype } = checkpoint.tensor(name);
  if (dtype === 'F32' || dtype === 'F16' || dtype === 'BF16') return dtype;
  throw new ConfigError(`${name} is stored as ${dtype}; F32, F16, BF16 and bitsandbytes NF4 are supported.`);
}

/** The tables of a checkpoint's weights, with every shape checked against the config. */
export function checkpointTables(
  checkpoint: Checkpoint,
  config: LlamaConfig,
  options: WeightOptions = {},
): WeightTable[] {
  assertReadableQuantization(checkpoint);
  const { vocabSize, hiddenSize, tieWordEmbeddings } = config;
  if (!tieWordEmbeddings && !checkpoint.has(HEAD)) {
    throw new ConfigError(
      `The model has no tensor ${HEAD}, and its config.json does not say that the head shares the embedding. If the ` +
        'model was made so, set tie_word_embeddings to true there; else get all of its files again.',
    );
  }
  if (storedFormat(checkpoint, EMBEDDING) !== 'NF4') checkpoint.expect(EMBEDDING, [vocabSize, hiddenSize]);
  return weightTables(config, (name) => storedFormat(checkpoint, name, options)).map((table) => {
    if (!isNf4(checkpoint, table.name)) {
      checkpoint.expect(table.name, table.rows === 1 ? [table.columns] : [table.rows, table.columns]);
    }
    return table;
  });
}

/** Every buffer that a checkpoint's weights will take on a device. */
export function checkpointSpecs(
  checkpoint: Checkpoint,
  tables: readonly WeightTable[],
  limits: DeviceLimits,
  { quantize }: WeightOptions = {},
): BufferSpec[] {
  const doubleQuant = quantize?.doubleQuant ?? QUANTIZE_DEFAULTS.doubleQuant;
  const nested = (name: string) => (isNf4(checkpoint, name) ? checkpoint.has(`${name}.nested_absmax`) : doubleQuant);
  return weightSpecs(tables, limits, nested);
}

/** All weights of a model on the GPU, by tensor name. */
export class Weights {
  readonly byName: ReadonlyMap<string, Weight>;
  /** The embedding, where it stays in storage because the head has a matrix of its own. */
  readonly stored: EmbeddingRows | null;

  constructor(byName: ReadonlyMap<string, Weight>, stored: EmbeddingRows | null) {
    this.byName = byName;
    this.stored = stored;
  }

  get tied(): boolean {
    return this.stored === null;
  }

  get(name: string): Weight {
    const weight = this.byName.get(name);
    if (!weight) throw new Error(`no weight named ${name}`);
    return weight;
  }

  /** Only of models whose head shares it; see `stored`. */
  get embedding(): Weight {
    return this.get(EMBEDDING);
  }

  /** Whether any projection is NF4. */
  get nf4(): boolean {
    return [...this.byName.values()].some(({ format }) => format === 'NF4');
  }

  get head(): Weight {
    return this.tied ? this.embedding : this.get(HEAD);
  }
}

/**
 * Allocates and fills the GPU buffers of a checkpoint. At most one piece of a tensor is in JavaScript memory.
 * @throws CheckpointError, QuantizationError, ConfigError or GpuError naming the tensor at fault
 */
export async function loadWeights(
  checkpoint: Checkpoint,
  config: LlamaConfig,
  cmd: Commands,
  memory: Memory,
  onProgress: LoadProgress = () => {},
  options: WeightOptions = {},
): Promise<Weights> {
  const tables = checkpointTables(checkpoint, config, options);
  const limits: DeviceLimits = memory.device.limits;
  const specs = checkpointSpecs(checkpoint, tables, limits, options);
  await options.makeRoom?.();
  await memory.allocate(specs);
  const total = tables.reduce((sum, t) => sum + checkpoint.tensor(t.name).byteLength, 0);
  const raw = tables.filter((t) => t.format === 'NF4' && !isNf4(checkpoint, t.name));
  const largest = Math.max(...raw.map((t) => t.rows * t.columns));
  const quantizer = raw.length ? await Nf4Quantizer.create(cmd, options.quantize ?? {}, largest) : null;
  let done = 0;
  let waiting = 0;
  const sent = async (bytes: number) => {
    waiting += bytes;
    if (waiting < AHEAD) return;
    waiting = 0;
    await memory.device.queue.onSubmittedWorkDone();
  };
  const weights = new Map<string, Weight>();
  try {
    for (const table of tables) {
      const report = (bytes: number) => {
        done += bytes;
        onProgress(table.name, done, total);
      };
      let first = 0;
      const parts = partRows(table, limits).map((rows, i): WeightPart & { data: { buffer: GPUBuffer } } => {
        const part = { firstRow: first, rows, data: { buffer: memory.get(`${table.name}#${i}`) }, offset: 0 };
        first += rows;
        return part;
      });
      const { name, rows, columns, format } = table;
      const weight: Weight = { name, rows, columns, format, parts };
      if (raw.includes(table)) {
        const targets = parts.map((part) => ({ rows: part.rows, buffer: part.data.buffer }));
        const scales = await quantizer!.quantize(checkpoint, table, targets, report);
        weights.set(name, { ...weight, ...writeScales(table, scales, memory) });
        continue;
      }
      await copyParts(checkpoint, table, parts, memory.device, report, sent);
      const scales = format === 'NF4' ? writeScales(table, await readScales(checkpoint, table), memory) : {};
      weights.set(name, { ...weight, ...scales });
    }
  } finally {
    quantizer?.destroy();
  }
  const { vocabSize, hiddenSize, tieWordEmbeddings } = config;
  const stored = tieWordEmbeddings ? null : new EmbeddingRows(checkpoint, EMBEDDING, vocabSize, hiddenSize);
  return new Weights(weights, stored);
}

/** The stored bytes into the parts' buffers, as they are; norms in 16 bits become f32. */
async function copyParts(
  checkpoint: Checkpoint,
  table: WeightTable,
  parts: readonly { firstRow: number; rows: number; data: { buffer: GPUBuffer } }[],
  device: GPUDevice,
  report: (bytes: number) => void,
  sent: (bytes: number) => Promise<void>,
): Promise<void> {
  const { byteLength, dtype } = checkpoint.tensor(table.name);
  const widen = table.format === 'F32' && dtype !== 'F32';
  let begin = 0;
  for (const { firstRow, rows, data } of parts) {
    const { buffer } = data;
    const end = firstRow + rows === table.rows ? byteLength : begin + (byteLength / table.rows) * rows;
    for await (const { at, bytes } of checkpoint.pieces(table.name, begin, end, PIECE)) {
      if (widen && isFloatDtype(dtype)) {
        const values = decodeFloats(bytes, dtype) as Float32Array<ArrayBuffer>;
        device.queue.writeBuffer(buffer, ((at - begin) / bytes.byteLength) * values.byteLength, values);
      } else {
        device.queue.writeBuffer(buffer, at - begin, bytes);
      }
      report(bytes.byteLength);
      await sent(bytes.byteLength);
    }
    begin = end;
  }
}

/** The scales of a tensor that is stored as NF4. */
async function readScales(checkpoint: Checkpoint, table: WeightTable): Promise<Nf4Scales> {
  const state = await nf4State(checkpoint, table.name);
  if (state.shape[0] !== table.rows || state.shape[1] !== table.columns) {
    throw new ConfigError(
      `${table.name} is quantised with shape [${state.shape}]; config.json asks for [${table.rows},${table.columns}].`,
    );
  }
  if (state.blocksize !== 64 || (state.nested && state.nested.blocksize !== 256)) {
    throw new ConfigError(`${table.name}: only NF4 blocks of 64 (nested 256) are supported.`);
  }
  return state;
}

/** Puts an NF4 tensor's scales where lib/weight.wgsl looks for them. */
function writeScales(
  table: WeightTable,
  { quantMap, absmax, nested }: Nf4Scales,
  memory: Memory,
): Pick<Weight, 'scales' | 'nestedBlocks' | 'nestedOffset'> {
  const buffer = memory.get(`${table.name}.scales`);
  const words = new Uint32Array(scaleWords(table.rows * table.columns, nested !== null));
  const floats = new Float32Array(words.buffer);
  floats.set(quantMap, 256);
  if (nested) {
    floats.set(nested.map, 0);
    floats.set(nested.absmax, NF4_TABLE);
    new Uint8Array(words.buffer).set(nested.codes, (NF4_TABLE + nested.absmax.length) * 4);
  } else if (absmax) {
    floats.set(absmax, NF4_TABLE);
  }
  if (buffer.size < words.byteLength) throw new GpuError('limits', `${table.name}: scales exceed their plan`);
  memory.device.queue.writeBuffer(buffer, 0, words);
  return { scales: { buffer }, nestedBlocks: nested?.absmax.length ?? 0, nestedOffset: nested?.offset ?? 0 };
}
