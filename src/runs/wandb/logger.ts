/**
 * Live logging of one run: what is logged is collected and sent in batches, tried again while the server is away, and
 * never waited for by the training.
 *
 * Line i of the history is optimizer step i + 1 with the evaluation made at it, by TRL's names. So a run that goes on
 * from a checkpoint finds by the number of lines where it was, and what it computes once more is not sent twice.
 */
import type { EvalRecord, StepRecord } from '../../train/records';
import { type WandbClient, WandbError, type WandbRun } from './client';

export type WandbStatus =
  | { state: 'connecting' }
  | { state: 'logging'; url: string; steps: number }
  /** It is tried again; nothing is lost. */
  | { state: 'waiting'; message: string; url: string | null }
  | { state: 'finished'; url: string }
  /** Logging has ended for good. The run goes on. */
  | { state: 'failed'; message: string };

export interface WandbPace {
  /** Milliseconds between two batches. */
  batchMs: number;
  /** The server takes a run for crashed that it does not hear of for long. */
  heartbeatMs: number;
  /** Waits after failures: the first, doubled each time up to the last. */
  firstRetryMs: number;
  lastRetryMs: number;
  /** After the run's end, milliseconds until it is given up. */
  endMs: number;
}

/** wandb's own sends every 15 s, beats every 30 s, and waits 2 to 60 s. */
export const PACE: WandbPace = {
  batchMs: 5000,
  heartbeatMs: 30_000,
  firstRetryMs: 2000,
  lastRetryMs: 60_000,
  endMs: 600_000,
};

/** What the run is called and made with there. */
export interface WandbAbout {
  id: string;
  name: string;
  notes: string;
  config: Record<string, unknown>;
}

const MOST_LINES = 2000;

/** JSON has no NaN; W&B reads the words. */
const jsonOf = (row: object): string =>
  JSON.stringify(row, (_, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  );

export class WandbLogger {
  readonly #client: WandbClient;
  readonly #about: WandbAbout;
  readonly #pace: WandbPace;
  readonly #tell: (status: WandbStatus) => void;
  readonly #started = Date.now();
  /** Of the whole run. The last may still get an evaluation. */
  readonly #rows: Record<string, number>[] = [];
  /** Lines that the server has. */
  #sent = 0;
  /** The latest value of everything in them. */
  readonly #summary: Record<string, number> = {};
  #run: WandbRun | null = null;
  #exit: { code: number; at: number } | null = null;
  #failures = 0;
  /** Ends the wait that is on. */
  #wake: () => void = () => {};
  readonly done: Promise<void>;

  constructor(client: WandbClient, about: WandbAbout, tell: (status: WandbStatus) => void, pace: WandbPace = PACE) {
    this.#client = client;
    this.#about = about;
    this.#tell = tell;
    this.#pace = pace;
    this.done = this.#work();
  }

  step(record: StepRecord): void {
    this.#rows[record.step - 1] = this.#stamped(record);
  }

  eval(record: EvalRecord): void {
    const row = this.#rows[record.step - 1];
    if (row) Object.assign(row, record);
  }

  /** What the run has behind it. */
  restore(steps: readonly StepRecord[], evals: readonly EvalRecord[]): void {
    for (const record of steps) this.step(record);
    for (const record of evals) this.eval(record);
  }

  /** The run has ended: what is left is sent, and the run there marked as over. */
  finish(code: 0 | 1): Promise<void> {
    this.#exit ??= { code, at: Date.now() };
    this.#wake();
    return this.done;
  }

  #stamped(record: StepRecord): Record<string, number> {
    const now = Date.now();
    return { ...record, _step: record.step - 1, _timestamp: now / 1000, _runtime: (now - this.#started) / 1000 };
  }

  async #work(): Promise<void> {
    this.#tell({ state: 'connecting' });
    let beat = Date.now();
    for (;;) {
      try {
        const { id, name, notes, config } = this.#about;
        if (!this.#run) {
          this.#run = await this.#client.upsertRun(id, name, notes, config);
          this.#sent = this.#run.lines;
          for (const row of this.#rows.slice(0, this.#sent)) Object.assign(this.#summary, row);
          this.#tellProgress();
        }
        if (await this.#send(this.#run, Date.now() - beat >= this.#pace.heartbeatMs)) beat = Date.now();
        this.#failures = 0;
        if (this.#exit && this.#sent >= this.#rows.length) {
          await this.#client.stream(this.#run, { complete: true, exitcode: this.#exit.code });
          this.#tell({ state: 'finished', url: this.#run.url });
          return;
        }
        if (!this.#exit || this.#sent >= this.#rows.length) await this.#pause(this.#pace.batchMs);
      } catch (error) {
        const failure = error instanceof WandbError ? error : new WandbError(String(error), false);
        const late = this.#exit && Date.now() - this.#exit.at > this.#pace.endMs;
        if (!failure.passing || late) {
          const what = late ? `${failure.message}; the last steps are missing there.` : failure.message;
          this.#tell({ state: 'failed', message: what });
          return;
        }
        const { firstRetryMs, lastRetryMs } = this.#pace;
        const wait = Math.max(failure.waitMs ?? 0, Math.min(lastRetryMs, firstRetryMs * 2 ** this.#failures++));
        this.#tell({ state: 'waiting', message: failure.message, url: this.#run?.url ?? null });
        await this.#pause(wait, false);
      }
    }
  }

  /** Sends what is complete, or a sign of life; whether anything was sent. */
  async #send(run: WandbRun, beat: boolean): Promise<boolean> {
    const end = this.#exit ? this.#rows.length : this.#rows.length - 1;
    const rows = this.#rows.slice(this.#sent, Math.min(end, this.#sent + MOST_LINES));
    if (rows.length === 0) {
      if (beat) await this.#client.stream(run, {});
      return beat;
    }
    Object.assign(this.#summary, ...rows);
    await this.#client.stream(run, {
      files: {
        'wandb-history.jsonl': { offset: this.#sent, content: rows.map(jsonOf) },
        'wandb-summary.json': { offset: 0, content: [jsonOf(this.#summary)] },
      },
    });
    this.#sent += rows.length;
    this.#tellProgress();
    return true;
  }

  #tellProgress(): void {
    this.#tell({ state: 'logging', url: this.#run!.url, steps: this.#sent });
  }

  /** Waits; the run's end cuts it short unless the server has asked for the wait. */
  #pause(ms: number, mayWake = true): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        if (!mayWake) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
