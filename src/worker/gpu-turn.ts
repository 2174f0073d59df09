/** Whose turn on the GPU it is: one piece of work at a time, so that none loses its model, or its memory, to another. */
import { StateError } from './errors';

const GOING_ON = {
  run: 'A run is going on. Stop it first, or wait for its end.',
  evaluation: 'An evaluation is going on. Cancel it first, or wait for its end.',
  load: 'A model is being loaded. Wait for its end, or pause it.',
} as const;

const ANSWERING = 'An answer is being written. Wait for its end, or stop it.';

export type GpuWork = keyof typeof GOING_ON;

export class GpuTurn {
  #work: GpuWork | null = null;
  #borrowed: { abort: AbortController; done: Promise<unknown> } | null = null;
  #prepared: Promise<unknown> | null = null;

  /** What has the GPU now; null when nothing has. */
  get work(): GpuWork | null {
    return this.#work;
  }

  /** Whether anything reads the model. */
  get inUse(): boolean {
    return this.#work !== null || this.#borrowed !== null;
  }

  /** @throws StateError `busy`, naming what has the GPU */
  assertFree(): void {
    if (this.#work) throw new StateError('busy', GOING_ON[this.#work]);
  }

  /**
   * Does a `job` that readies the GPU and takes a second or so; whatever wants the GPU meanwhile waits for its end.
   * @throws StateError `busy` while anything uses it
   */
  async prepare<T>(job: () => Promise<T>): Promise<T> {
    while (this.#prepared) await this.#prepared;
    this.assertFree();
    if (this.#borrowed) throw new StateError('busy', ANSWERING);
    const result = job();
    const mine = result.catch(() => undefined);
    this.#prepared = mine;
    try {
      return await result;
    } finally {
      if (this.#prepared === mine) this.#prepared = null;
    }
  }

  /**
   * Does `job` with the GPU to itself. Rejects with StateError `busy`, without a wait, while something else has it; what
   * was only borrowing it is ended first.
   */
  async take<T>(work: GpuWork, job: () => Promise<T>): Promise<T> {
    this.assertFree();
    while (this.#prepared) {
      await this.#prepared;
      this.assertFree();
    }
    this.#work = work;
    try {
      if (this.#borrowed) await this.reclaim();
      return await job();
    } finally {
      this.#work = null;
    }
  }

  /**
   * Does a short `job` until somebody takes the GPU or reclaims it; `job` is told by its signal and has to end soon.
   * @param paused whether what has the GPU is paused, so that it can be borrowed
   * @throws StateError `busy`
   */
  async borrow<T>(paused: boolean, job: (signal: AbortSignal) => Promise<T>): Promise<T> {
    while (this.#prepared) await this.#prepared;
    if (this.#borrowed) throw new StateError('busy', ANSWERING);
    if (this.#work === 'run' && !paused) {
      throw new StateError(
        'busy',
        'A run is training. Pause it to talk to the model as it is now, or wait for its end.',
      );
    }
    if (!paused) this.assertFree();
    const abort = new AbortController();
    const result = job(abort.signal);
    const mine = { abort, done: result.catch(() => undefined) };
    this.#borrowed = mine;
    try {
      return await result;
    } finally {
      this.#borrowed = null;
    }
  }

  /** Ends what is borrowed and waits until it has let go of the GPU. */
  async reclaim(): Promise<void> {
    this.#borrowed?.abort.abort();
    await this.#borrowed?.done;
  }
}
