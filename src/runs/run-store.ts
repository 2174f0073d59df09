/**
 * Runs in storage: a record each, its pairs, and its newest checkpoints. It lies on a store of its own with the interface
 * of the models' store, which keeps every chunk with its SHA-256 and writes each in one transaction.
 *
 * A file is written beside the others while the record says that it is not complete; one transaction then makes it the
 * newest and drops the oldest. A crash leaves either the old list or the new one.
 */
import { sha256Hex } from '../storage/sha256';
import {
  CHUNK_BYTES,
  chunkCount,
  isComplete,
  type ModelRecord,
  type ModelStore,
  StorageError,
  type StoredFile,
} from '../storage/store';
import { RunError } from './errors';
import type { RunChange, RunRecord } from './record';

export const PAIRS_FILE = 'pairs.safetensors';
const CHECKPOINT = /^checkpoint-(\d+)\.safetensors$/u;

export const checkpointName = (step: number): string => `checkpoint-${step}.safetensors`;

/** A run as it is listed. */
export interface KeptRun<R extends RunRecord = RunRecord> {
  record: R;
  /** Steps of the checkpoints in storage, rising. */
  checkpoints: number[];
  /** Of pairs and checkpoints. */
  bytes: number;
}

const stepOf = ({ name }: StoredFile): number => Number(CHECKPOINT.exec(name)?.[1] ?? -1);

const kept = <R extends RunRecord>({ about, files }: ModelRecord): KeptRun<R> => ({
  record: about as unknown as R,
  checkpoints: files
    .filter((file) => file.complete && CHECKPOINT.test(file.name))
    .map(stepOf)
    .sort((a, b) => a - b),
  bytes: files.reduce((sum, { size }) => sum + size, 0),
});

export class RunStore<R extends RunRecord = RunRecord> {
  readonly #store: ModelStore;
  /** The last change of a record under way: the next waits for it, so that none is lost. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(store: ModelStore) {
    this.#store = store;
  }

  /** Newest first. */
  async list(): Promise<KeptRun<R>[]> {
    const all = (await this.#store.list()).map((run) => kept<R>(run));
    return all.sort((a, b) => b.record.createdAt - a.record.createdAt);
  }

  /** @throws RunError `unknown-run` */
  async get(id: string): Promise<KeptRun<R>> {
    return kept(await this.#record(id));
  }

  /** Begins a run: its record and its pairs. */
  async create(record: R, pairs: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#store.putRecord({ id: record.id, about: { ...(record as object) }, files: [] });
    await this.#write(record.id, PAIRS_FILE, pairs, {});
  }

  async change(id: string, change: RunChange | Partial<R>): Promise<KeptRun<R>> {
    return kept(await this.#edit(id, ({ files }) => files, change));
  }

  /**
   * Stores a checkpoint with what the record says of it, and deletes those before the newest `keep`.
   * Rejects with StorageError, e.g. `quota-exceeded`; the checkpoints before are untouched then.
   */
  async addCheckpoint(
    id: string,
    step: number,
    bytes: Uint8Array<ArrayBuffer>,
    change: Partial<R>,
    keep: number,
  ): Promise<void> {
    await this.#write(id, checkpointName(step), bytes, { ...change, step });
    const { files } = await this.#record(id);
    const steps = files.filter((file) => CHECKPOINT.test(file.name)).sort((a, b) => stepOf(b) - stepOf(a));
    await this.#drop(
      id,
      steps.slice(Math.max(1, keep)).map(({ name }) => name),
    );
  }

  /**
   * The newest checkpoint that is whole and has its hash. Damaged ones are deleted, and their steps told.
   * @throws RunError `no-checkpoint` when none is left
   */
  async newestCheckpoint(id: string): Promise<{ step: number; bytes: Uint8Array<ArrayBuffer>; damaged: number[] }> {
    const damaged: number[] = [];
    for (const step of (await this.get(id)).checkpoints.reverse()) {
      const bytes = await this.#readSound(id, checkpointName(step));
      if (bytes) {
        if (damaged.length) await this.change(id, { step } as Partial<R>);
        return { step, bytes, damaged };
      }
      damaged.push(step);
      await this.#drop(id, [checkpointName(step)]);
    }
    const why = damaged.length ? 'every checkpoint of it has changed in storage' : 'it was cut off before its first';
    throw new RunError(
      'no-checkpoint',
      `There is no checkpoint of this run: ${why}. Start it again from its settings.`,
    );
  }

  /** @throws RunError `damaged-run` */
  async pairs(id: string): Promise<Uint8Array<ArrayBuffer>> {
    await this.#record(id);
    const bytes = await this.#readSound(id, PAIRS_FILE);
    if (bytes) return bytes;
    throw new RunError(
      'damaged-run',
      'The pairs of this run have changed in storage or are not all there, so it cannot go on. Start it again with its data.',
    );
  }

  /** Frees the room of a run's checkpoints and pairs; its record and the newest curves are lost with `remove` only. */
  remove(id: string): Promise<void> {
    return this.#store.deleteModel(id);
  }

  /** Removes for good what was deleted before `time`, and files whose writing was cut off. */
  async clean(time: number): Promise<void> {
    for (const run of await this.#store.list()) {
      const { deletedAt } = run.about as unknown as RunRecord;
      if (deletedAt !== null && deletedAt < time) await this.remove(run.id);
    }
  }

  async #record(id: string): Promise<ModelRecord> {
    const record = await this.#store.record(id);
    if (!record) throw new RunError('unknown-run', 'This run is no longer in storage; perhaps another tab deleted it.');
    return record;
  }

  async #write(id: string, name: string, bytes: Uint8Array<ArrayBuffer>, change: Partial<R>): Promise<void> {
    const before = await this.#record(id);
    // What a cut-off write left, of this file or of another, goes first.
    const cutOff = before.files.filter((file) => !file.complete || file.name === name);
    await this.#drop(
      id,
      cutOff.map((file) => file.name),
    );
    const file: StoredFile = { name, size: bytes.byteLength, sha256: await sha256Hex(bytes), complete: false };
    await this.#edit(id, ({ files }) => [...files, file]);
    for (let i = 0; i < chunkCount(bytes.byteLength); i++) {
      await this.#store.writeChunk(id, name, i, bytes.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES));
    }
    await this.#edit(
      id,
      ({ files }) => files.map((other) => (other.name === name ? { ...file, complete: true } : other)),
      change,
    );
  }

  /** Reads, changes and writes a record; one change at a time. */
  #edit(id: string, files: (record: ModelRecord) => StoredFile[], change: object = {}): Promise<ModelRecord> {
    const mine = this.#turn.then(async () => {
      const record = await this.#record(id);
      const about = { ...record.about, ...change, updatedAt: Date.now() };
      const changed = { ...record, about, files: files(record) };
      await this.#store.putRecord(changed);
      return changed;
    });
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  async #drop(id: string, names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await this.#edit(id, ({ files }) => files.filter((file) => !names.includes(file.name)));
    for (const name of names) await this.#store.deleteFile(id, name);
  }

  /** A whole file, or null when any of it is missing or other than it was written. */
  async #readSound(id: string, name: string): Promise<Uint8Array<ArrayBuffer> | null> {
    const file = (await this.#record(id)).files.find((f) => f.name === name);
    if (!file || !isComplete({ id, about: {}, files: [file] })) return null;
    const bytes = new Uint8Array(file.size);
    try {
      for (let i = 0; i < chunkCount(file.size); i++)
        bytes.set(await this.#store.readChunk(id, name, i), i * CHUNK_BYTES);
    } catch (error) {
      if (error instanceof StorageError && /^(missing|corrupt)-chunk$/u.test(error.code)) return null;
      if (error instanceof RangeError) return null;
      throw error;
    }
    return (await sha256Hex(bytes)) === file.sha256 ? bytes : null;
  }
}
