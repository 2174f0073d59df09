/** The runs that are kept: listing, changing, and their way out and in. */
import { parseRunCard } from '../runs/run-card';
import type { KeptRun, RunStore } from '../runs/run-store';
import type { Checkpoint } from '../train/checkpoint';
import { readCheckpoint } from '../train/checkpoint-file';
import type { ChatRequests, KeptRecord, RunCurves, RunRequests, RunSummary } from './protocol';
import { exportedRun } from './run-exports';
import { exportedCheckpoint, importedCheckpoint } from './run-file';

type Requests = Pick<
  RunRequests & ChatRequests,
  'runs' | 'runCurves' | 'changeRun' | 'exportKept' | 'importCheckpoint' | 'readRunCard' | 'vote'
>;

/** Name of the lock that the tab training a run holds, before its id. */
export const RUN_LOCK = 'orpo-studio/run/';
/** Milliseconds for which a deleted run can be brought back, at least. */
const UNDO_MS = 24 * 3600 * 1000;

export class RunShelf {
  readonly #runs: RunStore<KeptRecord>;
  readonly #locks: LockManager | undefined;

  constructor(runs: RunStore<KeptRecord>, locks: LockManager | undefined) {
    this.#runs = runs;
    this.#locks = locks;
  }

  readonly handlers: { [K in keyof Requests]: (args: Requests[K]['args']) => Promise<Requests[K]['result']> } = {
    runs: () => this.#list(),
    runCurves: ({ id }) => this.#curves(id),
    changeRun: async ({ id, change }) => {
      const { name, notes, deletedAt } = change;
      const given = Object.entries({ name, notes, deletedAt }).filter(([, value]) => value !== undefined);
      await this.#runs.change(id, Object.fromEntries(given));
      return this.#list();
    },
    vote: async ({ id, vote }) => {
      const { votes = [] } = (await this.#runs.get(id)).record;
      await this.#runs.change(id, { votes: [...votes, vote] });
      return this.#list();
    },
    exportKept: async ({ id, form }) => {
      if (form === 'checkpoint') return exportedCheckpoint(this.#runs, id);
      return exportedRun(form, (await this.#runs.get(id)).record, await this.#curves(id));
    },
    importCheckpoint: async ({ file }) => summaryOf(await importedCheckpoint(this.#runs, file), false),
    readRunCard: async ({ text }) => parseRunCard(text),
  };

  /** Empty before the first checkpoint. */
  async #curves(id: string): Promise<RunCurves> {
    const { checkpoints } = await this.#runs.get(id);
    if (checkpoints.length === 0) return curvesOf(null);
    const { bytes, step } = await this.#runs.newestCheckpoint(id);
    return curvesOf((await readCheckpoint(bytes, `checkpoint ${step}`)).checkpoint);
  }

  async #list(): Promise<RunSummary[]> {
    await this.#runs.clean(Date.now() - UNDO_MS);
    const held = (await this.#locks?.query())?.held ?? [];
    const live = new Set(held.map(({ name }) => name));
    const runs = await this.#runs.list();
    return runs
      .filter(({ record }) => record.deletedAt === null)
      .map((run) => summaryOf(run, live.has(RUN_LOCK + run.record.id)));
  }
}

export const curvesOf = (checkpoint: Checkpoint | null): RunCurves => ({
  steps: [...(checkpoint?.steps ?? [])],
  evals: [...(checkpoint?.evals ?? [])],
  samples: [...(checkpoint?.samples ?? [])],
});

export const summaryOf = (run: KeptRun<KeptRecord>, live: boolean): RunSummary => ({ ...run, live });
