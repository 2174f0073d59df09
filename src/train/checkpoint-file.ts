/**
 * A checkpoint as one safetensors file: the adapter under PEFT's names, the optimizer's moments, the logs as tables of
 * doubles (so that nothing is rounded, not even a NaN), and the rest as JSON in the metadata.
 */
import { parseLoraKey } from '../formats/peft';
import { SafetensorsError } from '../formats/safetensors';
import { bytesOf, type NamedTensor, readTensorFile, writeTensorFile } from '../formats/tensor-file';
import type { Checkpoint, SamplerState } from './checkpoint';
import { TrainingError } from './errors';
import type { EvalRecord, SampleRecord, StepRecord } from './records';

const FORMAT = 'orpo-studio-checkpoint';
const VERSION = 1;
/** Tensors of a file that are not the checkpoint's own start with this. */
export const EXTRA = 'extra.';

/** What a file tells beside its tensors. */
interface Head {
  version: number;
  step: number;
  sampler: SamplerState;
  logColumns: string[];
  evalColumns: string[];
  /** Absent where there are none. */
  samples?: readonly SampleRecord[];
}

type Row = object;

function table(name: string, rows: readonly Row[]): { tensor: NamedTensor; columns: string[] } {
  const columns = Object.keys(rows[0] ?? {});
  const values = new Float64Array(rows.length * columns.length);
  rows.forEach((row, i) => {
    columns.forEach((column, j) => {
      values[i * columns.length + j] = (row as Record<string, number>)[column];
    });
  });
  const tensor: NamedTensor = { name, dtype: 'F64', shape: [rows.length, columns.length], bytes: bytesOf(values) };
  return { tensor, columns };
}

function rowsOf<T>(tensor: NamedTensor | undefined, columns: readonly string[]): T[] {
  if (!tensor) return [];
  const { buffer, byteOffset, byteLength } = tensor.bytes;
  const values = new Float64Array(buffer, byteOffset, byteLength / 8);
  return Array.from(
    { length: tensor.shape[0] },
    (_, i) => Object.fromEntries(columns.map((column, j) => [column, values[i * columns.length + j]])) as T,
  );
}

export interface FileExtras {
  /** Further texts, by key. */
  metadata?: Readonly<Record<string, string>>;
  /** Further tensors; their names get {@link EXTRA} in front. */
  tensors?: readonly NamedTensor[];
}

/** The bytes of a checkpoint file. */
export function writeCheckpoint(checkpoint: Checkpoint, extras: FileExtras = {}): Uint8Array<ArrayBuffer> {
  const { step, sampler, adapter, moments, samples } = checkpoint;
  const log = table('log', checkpoint.steps);
  const evals = table('eval_log', checkpoint.evals);
  const head: Head = {
    ...{ version: VERSION, step, sampler, logColumns: log.columns, evalColumns: evals.columns },
    ...(samples.length > 0 && { samples }),
  };
  const values = [...adapter.values()].map(
    ({ name, shape, values }): NamedTensor => ({ name, shape, dtype: 'F32', bytes: bytesOf(values) }),
  );
  const more = (extras.tensors ?? []).map((tensor) => ({ ...tensor, name: EXTRA + tensor.name }));
  return writeTensorFile([log.tensor, evals.tensor, ...values, ...moments, ...more], {
    format: FORMAT,
    checkpoint: JSON.stringify(head),
    ...extras.metadata,
  });
}

export interface CheckpointFile {
  checkpoint: Checkpoint;
  metadata: Record<string, string>;
  /** By their names without {@link EXTRA}. */
  extras: Map<string, NamedTensor>;
}

/** @throws TrainingError `bad-checkpoint` for a file of another kind, or one that is damaged */
export async function readCheckpoint(file: Uint8Array, name: string): Promise<CheckpointFile> {
  const { tensors, metadata } = await readTensorFile(file, name).catch((error: unknown) => {
    if (error instanceof SafetensorsError) throw notOne(`${name} is not a sound file`, error);
    throw error;
  });
  if (metadata.format !== FORMAT) throw notOne(`${name} is not a checkpoint of this studio`);
  const head = JSON.parse(metadata.checkpoint) as Head;
  if (head.version !== VERSION) throw notOne(`${name} is of another version of this studio (${head.version})`);
  const checkpoint: Checkpoint = {
    step: head.step,
    sampler: head.sampler,
    adapter: new Map(),
    moments: [],
    steps: rowsOf<StepRecord>(tensors.get('log'), head.logColumns),
    evals: rowsOf<EvalRecord>(tensors.get('eval_log'), head.evalColumns),
    samples: head.samples ?? [],
  };
  const extras: CheckpointFile['extras'] = new Map();
  for (const tensor of tensors.values()) {
    if (tensor.name.startsWith(EXTRA)) extras.set(tensor.name.slice(EXTRA.length), tensor);
    else if (parseLoraKey(tensor.name)) {
      const { shape, bytes } = tensor;
      const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
      checkpoint.adapter.set(tensor.name, { name: tensor.name, shape, values });
    } else if (tensor.name !== 'log' && tensor.name !== 'eval_log') checkpoint.moments.push(tensor);
  }
  return { checkpoint, metadata, extras };
}

const notOne = (what: string, cause?: unknown) =>
  new TrainingError('bad-checkpoint', `${what}. Choose a file that “Save checkpoint to a file” wrote.`, { cause });
