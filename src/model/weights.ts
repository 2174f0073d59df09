/** Frozen weights: from a checkpoint to the GPU, tensor by tensor in small pieces, in the format they are stored in. */
import { assertReadableQuantization, isNf4, nf4State } from '../formats/bnb-nf4';
import type { Checkpoint } from '../formats/checkpoint';
import { decodeFloats, isFloatDtype } from '../formats/float';
import { GpuError } from '../gpu/errors';
import type { Memory } from '../gpu/memory';
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

const PIECE = 4 * 2 ** 20;

export type LoadProgress = (tensor: string, bytes: number, totalBytes: number) => void;

/** The format in which a tensor will lie on the GPU. Throws for dtypes that are no weights. */
export function storedFormat(checkpoint: Checkpoint, name: string): WeightFormat {
  if (isNf4(checkpoint, name)) return 'NF4';
  const { dtype } = checkpoint.tensor(name);
  if (dtype === 'F32' || dtype === 'F16' || dtype === 'BF16') return dtype;
  throw new ConfigError(`${name} is stored as ${dtype}; F32, F16, BF16 and bitsandbytes NF4 are supported.`);
}

/** The tables of a checkpoint's weights, with every shape checked against the config. */
export function checkpointTables(checkpoint: Checkpoint, config: LlamaConfig): WeightTable[] {
  assertReadableQuantization(checkpoint);
  const { vocabSize, hiddenSize } = config;
  if (storedFormat(checkpoint, EMBEDDING) !== 'NF4') checkpoint.expect(EMBEDDING, [vocabSize, hiddenSize]);
  return weightTables(config, (name) => storedFormat(checkpoint, name)).map((table) => {
    if (table.format !== 'NF4') {
      checkpoint.expect(table.name, table.rows === 1 ? [table.columns] : [table.rows, table.columns]);
    }
    return table;
  });
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

  get head(): Weight {
    return this.tied ? this.embedding : this.get('lm_head.weight');
  }
}

/**
 * Allocates and fills the GPU buffers of a checkpoint. At most one piece of a tensor is in JavaScript memory.
 * @throws CheckpointError, QuantizationError, ConfigError or GpuError naming the tensor at fault
 */
export async function loadWeights(
  checkpoint: Checkpoint,
  config: LlamaConfig,
  memory: Memory,
  onProgress: LoadProgress = () => {},
): Promise<Weights> {
  const tables = checkpointTables(checkpoint, config);
  const limits: DeviceLimits = memory.device.limits;
  const nested = (name: string) => checkpoint.has(`${name}.nested_absmax`);
  await memory.allocate(weightSpecs(tables, limits, nested));
  const total = tables.reduce((sum, t) => sum + checkpoint.tensor(t.name).byteLength, 0);
  let done = 0;
  const weights = new Map<string, Weight>();
  for (const table of tables) {
    const report = (bytes: number) => {
      done += bytes;
      onProgress(table.name, done, total);
    };
    weights.set(table.name, await loadTable(checkpoint, table, memory, limits, report));
  }
  const { vocabSize, hiddenSize, tieWordEmbeddings } = config;
  const stored = tieWordEmbeddings ? null : new EmbeddingRows(checkpoint, EMBEDDING, vocabSize, hiddenSize);
  return new Weights(weights, stored);
}

async function loadTable(
  checkpoint: Checkpoint,
  table: WeightTable,
  memory: Memory,
  limits: DeviceLimits,
  report: (bytes: number) => void,
): Promise<Weight> {
  const { device } = memory;
  const parts: WeightPart[] = [];
  const { byteLength, dtype } = checkpoint.tensor(table.name);
  const widen = table.format === 'F32' && dtype !== 'F32';
  let firstRow = 0;
  let begin = 0;
  for (const [i, rows] of partRows(table, limits).entries()) {
    const buffer = memory.get(`${table.name}#${i}`);
    const end = firstRow + rows === table.rows ? byteLength : begin + (byteLength / table.rows) * rows;
    for (let at = begin; at < end; at += PIECE) {
      const bytes = await checkpoint.read(table.name, at, Math.min(at + PIECE, end));
      if (widen && isFloatDtype(dtype)) {
        const values = decodeFloats(bytes, dtype) as Float32Array<ArrayBuffer>;
        device.queue.writeBuffer(buffer, ((at - begin) / bytes.byteLength) * values.byteLength, values);
      } else {
        device.queue.writeBuffer(buffer, at - begin, bytes);
      }
      report(bytes.byteLength);
    }
    parts.push({ firstRow, rows, data: { buffer }, offset: 0 });
    firstRow += rows;
    begin = end;
  }
  const weight: Weight = { name: table.name, rows: table.rows, columns: table.columns, format: table.format, parts };
  return table.format === 'NF4' ? { ...weight, ...(await loadScales(checkpoint, table, memory)) } : weight;
}

async function loadScales(
  checkpoint: Checkpoint,
  table: WeightTable,
  memory: Memory,
): Promise<Pick<Weight, 'scales' | 'nestedBlocks' | 'nestedOffset'>> {
  const state = await nf4State(checkpoint, table.name);
  if (state.shape[0] !== table.rows || state.shape[1] !== table.columns) {
    throw new ConfigError(
      `${table.name} is quantised with shape [${state.shape}]; config.json asks for [${table.rows},${table.columns}].`,
    );
  }
  if (state.blocksize !== 64 || (state.nested && state.nested.blocksize !== 256)) {
    throw new ConfigError(`${table.name}: only NF4 blocks of 64 (nested 256) are supported.`);
  }
  const buffer = memory.get(`${table.name}.scales`);
  const words = new Uint32Array(scaleWords(table.rows * table.columns, state.nested !== null));
  const floats = new Float32Array(words.buffer);
  floats.set(state.quantMap, 256);
  if (state.nested) {
    floats.set(state.nested.map, 0);
    floats.set(state.nested.absmax, NF4_TABLE);
    new Uint8Array(words.buffer).set(state.nested.codes, (NF4_TABLE + state.nested.absmax.length) * 4);
  } else if (state.absmax) {
    floats.set(state.absmax, NF4_TABLE);
  }
  if (buffer.size < words.byteLength) throw new GpuError('limits', `${table.name}: scales exceed their plan`);
  memory.device.queue.writeBuffer(buffer, 0, words);
  return {
    scales: { buffer },
    nestedBlocks: state.nested?.absmax.length ?? 0,
    nestedOffset: state.nested?.offset ?? 0,
  };
}
