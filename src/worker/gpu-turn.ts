/** Whose turn on the GPU it is: one piece of work at a time, so that none loses its model, or its memory, to another. */
import { StateError } from './errors';

const GOING_ON = {
  run: 'A run is going on. Stop it first, or wait for its end.',
  evaluation: 'An evaluation is going on. Cancel it first, or wait for its end.',
  load: 'A model is being loaded. Wait for its end, or pause it.',
} as const;

export type GpuWork = keyof typeof GOING_ON;

export class GpuTurn {
  #work: GpuWork | null = null;

  /** What has the GPU now; null when nothing has. */
  get work(): GpuWork | null {
    return this.#work;
  }

  /** @throws StateError `busy`, naming what has the GPU */
  assertFree(): void {
    if (this.#work) throw new StateError('busy', GOING_ON[this.#work]);
  }

  /** Does `job` with the GPU to itself. Rejects with StateError `busy`, without a wait, while something else has it. */
  async take<T>(work: GpuWork, job: () => Promise<T>): Promise<T> {
    this.assertFree();
    this.#work = work;
    try {
      return await job();
    } finally {
      this.#work = null;
    }
  }
}
