/** Pause, go on and cancel of a long evaluation, looked at between passes. */
import { EvaluationError } from './errors';

const SLICE_MS = 25;

export class EvalControl {
  #began = performance.now();
  #cancelled = false;
  #resume: (() => void) | null = null;
  #gate: Promise<void> = Promise.resolve();

  get paused(): boolean {
    return this.#resume !== null;
  }

  pause(): void {
    if (this.#resume || this.#cancelled) return;
    this.#gate = new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  resume(): void {
    this.#resume?.();
    this.#resume = null;
  }

  cancel(): void {
    this.#cancelled = true;
    this.resume();
  }

  /** Lets messages and timers through when it has been a while; for work without the GPU. */
  async breathe(): Promise<void> {
    if (performance.now() - this.#began < SLICE_MS) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#began = performance.now();
    await this.pass();
  }

  /** Waits while paused. @throws EvaluationError `cancelled` */
  async pass(): Promise<void> {
    await this.#gate;
    if (this.#cancelled) throw new EvaluationError('cancelled', 'The evaluation was cancelled.');
  }
}
