/** The run requests of the protocol: training, pausing and going on, and the runs that are kept. */

import type { AdapterTensor } from '../formats/peft';
import { writeTensorFile } from '../formats/tensor-file';
import type { Gpu } from '../gpu/device';
import type { AdapterSource } from '../inference/session';
import { RunError } from '../runs/errors';
import { pairText } from '../runs/hand-over/rows';
import { RunKeeper } from '../runs/keeper';
import { pairsFingerprint, pairTensors } from '../runs/pairs-file';
import { RunStore } from '../runs/run-store';
import type { ModelStore } from '../storage/store';
import type { TrainingPlan } from '../train/run-plan';
import { explainLoss } from './device-loss';
import { StateError, studioError } from './errors';
import type { GpuTurn } from './gpu-turn';
import { handedOver } from './hand-over';
import { probe } from './probe';
import type {
  ChatRequests,
  KeptRecord,
  ProbeResult,
  RunProgress,
  RunRequests,
  Settings,
  WorkerEvent,
} from './protocol';
import { type FinishedRun, Run, type RunStart } from './run';
import { type LoadedModel, newRecord, type PlannedRun, restoreRun } from './run-record';
import { curvesOf, RUN_LOCK, RunShelf, summaryOf } from './run-shelf';
import { readStartAdapter, type StartingAdapter } from './start-adapter';

export interface RunDeskHost {
  store: ModelStore;
  /** Web Locks, where there are some: a run is trained by one tab at a time. */
  locks: LockManager | undefined;
  turn: GpuTurn;
  emit(event: WorkerEvent): void;
  /** @throws StateError `no-model` */
  model(): LoadedModel;
  /** The device in use; null once it is lost. */
  gpu(): Gpu | null;
}

/** A probe needs the page's data: the studio answers that. */
type Requests = Omit<RunRequests, 'probe'> & Pick<ChatRequests, 'vote'>;
type Handlers = { [K in keyof Requests]: (args: Requests[K]['args']) => Promise<Requests[K]['result']> };

export class RunDesk {
  readonly #host: RunDeskHost;
  readonly #runs: RunStore<KeptRecord>;
  #run: Run | null = null;
  /** Of the run that goes on or was last. */
  #plan: TrainingPlan | null = null;
  #adapter: StartingAdapter | null = null;
  /** The last run, for exports. */
  finished: FinishedRun | null = null;

  constructor(host: RunDeskHost) {
    this.#host = host;
    this.#runs = new RunStore(host.store);
    this.handlers = { ...new RunShelf(this.#runs, host.locks).handlers, ...this.#ownHandlers };
  }

  readonly handlers: Handlers;

  readonly #ownHandlers = {
    continueRun: ({ id }: { id: string }) =>
      this.#host.turn.take('run', () => this.#locked(id, () => this.#continue(id))),
    openRun: ({ id }: { id: string }) => this.#host.turn.take('run', () => this.#open(id)),
    handOver: async ({ id }: { id: string }) => {
      const { kept, plan, newest } = await restoreRun(this.#runs, id, this.#host.model());
      const { open, tokenizer, summary } = this.#host.model();
      const isNf4 = !summary.quantized && [...open.weights.byName.values()].some(({ format }) => format === 'NF4');
      return handedOver({ record: kept.record, plan, newest, tokenizer, isNf4 });
    },
    pause: async () => this.#tell((run) => run.pause()),
    resume: () => this.#tellQuietly((run) => run.resume()),
    singleStep: () => this.#tellQuietly((run) => run.singleStep()),
    profileStep: async () => {
      if (!this.#host.model().open.gpu.device.features.has('timestamp-query')) {
        throw new StateError('no-timestamps', 'This browser does not let pages time the GPU (timestamp-query).');
      }
      this.#run?.profile();
      return null;
    },
    runPair: async ({ row }: { row: number }) => {
      const pair = this.#plan?.train[row]?.pair;
      if (!pair) throw new StateError('no-run', 'There is no such pair. Start a run first.');
      const { prompt, chosen, rejected } = pairText(pair, this.#host.model().tokenizer);
      return { prompt, chosen, rejected };
    },
    loadAdapter: async ({ files }: { files: File[] }) => {
      this.#adapter = await readStartAdapter(files);
      return this.#adapter.about;
    },
    clearAdapter: async () => {
      this.#adapter = null;
      return null;
    },
  };

  stop(): Promise<RunProgress> {
    return this.#tellQuietly((run) => run.stop());
  }

  /** The adapter that answers as the tuned model: of the paused run, else of the one that ended or was opened last. */
  get adapter(): { source: AdapterSource; step: number } | null {
    if (this.#run) return this.#run.pausedAdapter;
    if (!this.finished) return null;
    const { plan, adapter, steps } = this.finished;
    return { source: { layout: plan.lora, tensors: adapter }, step: steps.length };
  }

  /** While it is, answers may be written with its adapter. */
  get isPaused(): boolean {
    return Boolean(this.#run?.pausedAdapter);
  }

  /** Times two steps of a run that is then forgotten. */
  probe(plan: TrainingPlan): Promise<ProbeResult> {
    return this.#host.turn.take('run', () => probe(this.#host.model().open, plan));
  }

  /** Trains a new run to its end, and keeps it. */
  train(planned: PlannedRun): Promise<RunProgress> {
    return this.#host.turn.take('run', async () => {
      const id = crypto.randomUUID();
      const adapter = this.#startAdapter(planned);
      return this.#locked(id, async () => {
        const kept = await this.#create(id, planned);
        const { plan, samples, dataName } = planned;
        return this.#go({
          plan,
          samples,
          tokenizer: this.#host.model().tokenizer,
          dataName,
          checkpoint: null,
          adapter,
          seconds: 0,
          keeper: kept ? this.#keeper(id, plan) : null,
        });
      });
    });
  }

  #tell(what: (run: Run) => void): RunProgress {
    if (this.#run) what(this.#run);
    return this.#run?.progress ?? IDLE;
  }

  /** A paused run is asked once nothing else reads its adapter. */
  async #tellQuietly(what: (run: Run) => void): Promise<RunProgress> {
    await this.#host.turn.reclaim();
    return this.#tell(what);
  }

  /** Runs `work` unless another tab trains the same run. */
  #locked<T>(id: string, work: () => Promise<T>): Promise<T> {
    const { locks } = this.#host;
    if (!locks) return work();
    return locks.request(RUN_LOCK + id, { ifAvailable: true }, (lock) => {
      if (!lock) throw new RunError('run-busy', 'Another tab trains this run. Go on there, or close it first.');
      return work();
    });
  }

  #startAdapter({ settings }: { settings: Settings }): Map<string, AdapterTensor> | null {
    const wanted = settings.startAdapter;
    if (!wanted) return null;
    if (this.#adapter?.about.sha256 === wanted) return this.#adapter.tensors;
    throw new StateError(
      'no-adapter',
      'The adapter to start from is not loaded. Drop its two files again, or take it out.',
    );
  }

  #keeper(id: string, plan: TrainingPlan): RunKeeper<KeptRecord> {
    const { emit } = this.#host;
    return new RunKeeper(this.#runs, id, plan.hparams.save_total_limit, {
      onSaved: (step, bytes) => emit({ event: 'checkpoint', step, bytes }),
      onFailed: (step, error) => emit({ event: 'checkpointFailed', step, error: studioError(error) }),
    });
  }

  /** Keeps a new run; false when storage refuses, which is told and does not hold the run back. */
  async #create(id: string, planned: PlannedRun): Promise<boolean> {
    const { emit, model } = this.#host;
    const { plan } = planned;
    const pairs = pairTensors({ train: plan.train.map((p) => p.pair), eval: plan.evaluation.map((p) => p.pair) });
    const record = newRecord(id, model(), planned, await pairsFingerprint(pairs));
    try {
      await this.#runs.create(record, writeTensorFile(pairs, {}));
      emit({ event: 'runKept', runId: id, fingerprint: record.data.fingerprint });
      return true;
    } catch (error) {
      emit({ event: 'runNotKept', record, error: studioError(error) });
      return false;
    }
  }

  async #continue(id: string): Promise<RunProgress> {
    const { kept, plan, samples, newest, damaged } = await restoreRun(this.#runs, id, this.#host.model());
    if (newest && newest.step >= plan.steps.length) {
      throw new RunError('run-over', 'This run has made all its steps. Open it for export, or start a new one.');
    }
    const curves = curvesOf(newest);
    const now = await this.#runs.change(id, { state: 'running', error: null });
    this.#host.emit({ event: 'restored', run: summaryOf(now, true), curves, damaged });
    const { data, seconds, settings } = kept.record;
    const adapter = newest ? null : this.#startAdapter({ settings });
    const keeper = this.#keeper(id, plan);
    const { tokenizer } = this.#host.model();
    const dataName = data.name;
    return this.#go({ plan, samples, tokenizer, dataName, checkpoint: newest, adapter, seconds, keeper }, id);
  }

  async #open(id: string): Promise<RunProgress> {
    const { kept, plan, newest, damaged } = await restoreRun(this.#runs, id, this.#host.model());
    if (!newest) throw new RunError('no-checkpoint', 'There is no checkpoint of this run to open. Continue it first.');
    const { adapter, steps, evals, step } = newest;
    const { record } = kept;
    this.finished = { adapter, plan, steps, evals, dataName: record.data.name };
    const curves = curvesOf(newest);
    this.#host.emit({ event: 'restored', run: summaryOf(kept, false), curves, damaged });
    const state = step >= record.totalSteps ? 'finished' : 'stopped';
    return { ...IDLE, state, step, totalSteps: record.totalSteps, epoch: steps.at(-1)?.epoch ?? 0 };
  }

  async #go(start: RunStart, id = start.keeper?.id): Promise<RunProgress> {
    const { open } = this.#host.model();
    const run = new Run(open, start, (event) => this.#host.emit(event));
    this.#run = run;
    this.#plan = start.plan;
    try {
      return await run.train((finished) => {
        this.finished = finished;
      });
    } catch (cause) {
      const next = start.keeper
        ? 'Load the model again and continue from the last checkpoint'
        : 'Load the model and start again';
      const error = await explainLoss(
        cause,
        open.gpu,
        this.#host.gpu() !== null,
        `The GPU was lost during the run. ${next}; if it happens again, lower max_length or close other programs that use the GPU.`,
      );
      if (id) await start.keeper?.note(run.progress.step, { state: 'failed', error: studioError(error) });
      throw error;
    } finally {
      this.#run = null;
    }
  }
}

export const IDLE: RunProgress = {
  state: 'idle',
  step: 0,
  totalSteps: 0,
  epoch: 0,
  tokensPerSecond: 0,
  pairsPerSecond: 0,
  secondsLeft: null,
  activity: '',
};
