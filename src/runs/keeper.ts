/** Keeps one run in storage while it trains: checkpoints are written behind its back, one after the other. */
import type { Checkpoint } from '../train/checkpoint';
import { writeCheckpoint } from '../train/checkpoint-file';
import type { KeptState, RunRecord } from './record';
import type { RunStore } from './run-store';

export interface KeeperEvents {
  /** A checkpoint is safe. */
  onSaved(step: number, bytes: number): void;
  /** One could not be stored; those before it are untouched and the run may go on. */
  onFailed(step: number, error: unknown): void;
}

const numbersOf = (row: object | undefined): Record<string, number> | null =>
  row ? { ...(row as Record<string, number>) } : null;

export class RunKeeper<R extends RunRecord = RunRecord> {
  readonly id: string;
  readonly #store: RunStore<R>;
  readonly #limit: number;
  readonly #events: KeeperEvents;
  #writing: Promise<void> = Promise.resolve();

  /** @param limit checkpoints to keep */
  constructor(store: RunStore<R>, id: string, limit: number, events: KeeperEvents) {
    this.#store = store;
    this.id = id;
    this.#limit = limit;
    this.#events = events;
  }

  /**
   * Begins to store a checkpoint, after the one before it. Resolves when there is room for another, which is at once
   * unless the storage is slower than the training.
   */
  async save(checkpoint: Checkpoint, state: KeptState, seconds: number): Promise<void> {
    await this.#writing;
    this.#writing = this.#write(checkpoint, { state, seconds });
  }

  /** Resolves when all is stored (or has failed and was told so). */
  settled(): Promise<void> {
    return this.#writing;
  }

  /** Notes how the run stands. What cannot be noted is told like a checkpoint that cannot be stored. */
  async note(step: number, change: Partial<R>): Promise<void> {
    await this.#writing;
    await this.#store.change(this.id, change).catch((error: unknown) => this.#events.onFailed(step, error));
  }

  async #write(checkpoint: Checkpoint, change: Pick<RunRecord, 'state' | 'seconds'>): Promise<void> {
    const { step, steps, evals } = checkpoint;
    try {
      const bytes = writeCheckpoint(checkpoint);
      const last = { last: numbersOf(steps.at(-1)), lastEval: numbersOf(evals.at(-1)) };
      await this.#store.addCheckpoint(
        this.id,
        step,
        bytes,
        { ...change, ...last, error: null } as Partial<R>,
        this.#limit,
      );
      this.#events.onSaved(step, bytes.byteLength);
    } catch (error) {
      this.#events.onFailed(step, error);
    }
  }
}
