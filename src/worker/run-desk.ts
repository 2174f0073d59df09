/** The run requests of the protocol: training, pausing and going on, and the runs that are kept. */

import type { Tokenizer } from '../data/tokenizer';
import type { AdapterTensor } from '../formats/peft';
import { readTensorFile, writeTensorFile } from '../formats/tensor-file';
import type { Gpu } from '../gpu/device';
import { GpuError } from '../gpu/errors';
import type { OpenModel } from '../model/load';
import { RunError } from '../runs/errors';
import { pairText } from '../runs/hand-over/rows';
import { RunKeeper } from '../runs/keeper';
import { pairsFingerprint, pairsOf, pairTensors } from '../runs/pairs-file';
import { type KeptRun, RunStore } from '../runs/run-store';
import type { ModelStore } from '../storage/store';
import type { Checkpoint } from '../train/checkpoint';
import { readCheckpoint } from '../train/checkpoint-file';
import { parseHParams } from '../train/parse-hparams';
import { planTraining, type TrainingPlan } from '../train/run-plan';
import { StateError, studioError } from './errors';
import type { GpuTurn } from './gpu-turn';
import { handedOver } from './hand-over';
import { probe } from './probe';
import type {
  KeptRecord,
  ModelLoad,
  ModelSummary,
  ProbeResult,
  RunProgress,
  RunRequests,
  Settings,
  WorkerEvent,
} from './protocol';
import { type FinishedRun, Run, type RunStart } from './run';
import { RUN_LOCK, RunShelf, summaryOf } from './run-shelf';
import { readStartAdapter, type StartingAdapter } from './start-adapter';

export interface RunDeskHost {
  store: ModelStore;
  /** Web Locks, where there are some: a run is trained by one tab at a time. */
  locks: LockManager | undefined;
  turn: GpuTurn;
  emit(event: WorkerEvent): void;
  /** @throws StateError `no-model` */
  model(): { open: OpenModel; tokenizer: Tokenizer; summary: ModelSummary; load: ModelLoad | null };
  /** The device in use; null once it is lost. */
  gpu(): Gpu | null;
}

export interface PlannedRun {
  plan: TrainingPlan;
  settings: Settings;
  dataName: string;
}

/** Milliseconds in which a device that failed is known to be lost. */
const LOSS_MS = 500;

/** A probe needs the page's data: the studio answers that. */
type Requests = Omit<RunRequests, 'probe'>;
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
      const { kept, plan, newest } = await this.#restore(id);
      const { open, tokenizer, summary } = this.#host.model();
      const isNf4 = !summary.quantized && [...open.weights.byName.values()].some(({ format }) => format === 'NF4');
      return handedOver({ record: kept.record, plan, newest, tokenizer, isNf4 });
    },
    pause: async () => this.#tell((run) => run.pause()),
    resume: async () => this.#tell((run) => run.resume()),
    singleStep: async () => this.#tell((run) => run.singleStep()),
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

  stop(): RunProgress {
    return this.#tell((run) => run.stop());
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
        const { plan, dataName } = planned;
        return this.#go({
          plan,
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

  /** Runs `work` unless another tab trains the same run. */
  #locked<T>(id: string, work: () => Promise<T>): Promise<T> {
    const { locks } = this.#host;
    if (!locks) return work();
    return locks.request(RUN_LOCK + id, { ifAvailable: true }, (lock) => {
      if (!lock) throw new RunError('run-busy', 'Another tab trains this run. Go on there, or close it first.');
      return work();
    });
  }

  #startAdapter({ settings }: PlannedRun): Map<string, AdapterTensor> | null {
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
  async #create(id: string, { plan, settings, dataName }: PlannedRun): Promise<boolean> {
    const { emit, model } = this.#host;
    const { open, summary, load } = model();
    try {
      const pairs = pairTensors({ train: plan.train.map((p) => p.pair), eval: plan.evaluation.map((p) => p.pair) });
      const now = Date.now();
      const { info } = open.gpu;
      const record: KeptRecord = {
        id,
        name: `${summary.title}, ${dataName}`,
        notes: '',
        createdAt: now,
        updatedAt: now,
        deletedAt: null,
        model: { ...identity(summary), title: summary.title, format: summary.format, load },
        data: {
          name: dataName,
          fingerprint: await pairsFingerprint(pairs),
          trainPairs: plan.train.length,
          evalPairs: plan.evaluation.length,
        },
        settings,
        device: info.description || [info.vendor, info.architecture].filter(Boolean).join(' '),
        state: 'running',
        step: 0,
        totalSteps: plan.steps.length,
        seconds: 0,
        last: null,
        lastEval: null,
        error: null,
      };
      await this.#runs.create(record, writeTensorFile(pairs, {}));
      emit({ event: 'runKept', runId: id, fingerprint: record.data.fingerprint });
      return true;
    } catch (error) {
      emit({ event: 'checkpointFailed', step: 0, error: studioError(error) });
      return false;
    }
  }

  async #continue(id: string): Promise<RunProgress> {
    const { kept, plan, newest, damaged } = await this.#restore(id);
    if (newest && newest.step >= plan.steps.length) {
      throw new RunError('run-over', 'This run has made all its steps. Open it for export, or start a new one.');
    }
    const curves = { steps: [...(newest?.steps ?? [])], evals: [...(newest?.evals ?? [])] };
    const now = await this.#runs.change(id, { state: 'running', error: null });
    this.#host.emit({ event: 'restored', run: summaryOf(now, true), curves, damaged });
    const { data, seconds, settings } = kept.record;
    const adapter = newest ? null : this.#startAdapter({ plan, settings, dataName: data.name });
    const keeper = this.#keeper(id, plan);
    return this.#go({ plan, dataName: data.name, checkpoint: newest, adapter, seconds, keeper }, id);
  }

  /** What a run was, laid out for the loaded model, and its newest sound checkpoint. */
  async #restore(id: string): Promise<{
    kept: KeptRun<KeptRecord>;
    plan: TrainingPlan;
    newest: Checkpoint | null;
    damaged: number[];
  }> {
    const before = await this.#runs.get(id);
    const { open, summary } = this.#host.model();
    const { model, settings } = before.record;
    const { id: modelId, chatml, quantized } = identity(summary);
    if (modelId !== model.id || chatml !== model.chatml || quantized !== model.quantized) {
      throw new RunError(
        'other-model',
        `This run trains ${model.title} (${model.format}). Load that model first, in the same way.`,
      );
    }
    const { tensors } = await readTensorFile(await this.#runs.pairs(id), 'pairs');
    const pairs = pairsOf(tensors);
    const { hparams } = parseHParams(settings.hparams);
    const { device, profile } = open.gpu;
    const plan = planTraining(open.config, device.limits, profile.attentionTile, hparams, pairs.train, pairs.eval);
    const found = await this.#runs.newestCheckpoint(id).catch((error: unknown) => {
      if (error instanceof RunError && error.code === 'no-checkpoint') return null;
      throw error;
    });
    const newest = found && (await readCheckpoint(found.bytes, `checkpoint ${found.step}`)).checkpoint;
    const damaged = found?.damaged ?? before.checkpoints;
    return { kept: await this.#runs.get(id), plan, newest, damaged };
  }

  async #open(id: string): Promise<RunProgress> {
    const { kept, plan, newest, damaged } = await this.#restore(id);
    if (!newest) throw new RunError('no-checkpoint', 'There is no checkpoint of this run to open. Continue it first.');
    const { adapter, steps, evals, step } = newest;
    const { record } = kept;
    this.finished = { adapter, plan, steps, evals, dataName: record.data.name };
    const curves = { steps: [...steps], evals: [...evals] };
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
      const error = await this.#explain(cause, open.gpu, start.keeper !== null);
      if (id) await start.keeper?.note(run.progress.step, { state: 'failed', error: studioError(error) });
      throw error;
    } finally {
      this.#run = null;
    }
  }

  /** A failure because the device went away is told as that. */
  async #explain(cause: unknown, { device }: Gpu, isKept: boolean): Promise<unknown> {
    const soon = new Promise((resolve) => setTimeout(resolve, LOSS_MS, 'there'));
    if (this.#host.gpu() && (await Promise.race([device.lost, soon])) === 'there') return cause;
    return new GpuError(
      'device-lost',
      `The GPU was lost during the run. ${isKept ? 'Load the model again and continue from the last checkpoint' : 'Load the model and start again'}; ` +
        'if it happens again, lower max_length or close other programs that use the GPU.',
      { cause },
    );
  }
}

/** What training depends on of a model. */
const identity = ({ id, chatml, quantized }: ModelSummary) => ({ id, chatml: chatml ?? null, quantized });

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
