/** The engine's side of the protocol: one handler a request, and the state they share. Knows no `self`. */
import { asChatmlModel } from '../data/chatml-model';
import { loadTokenizer, type Tokenizer } from '../data/tokenizer';
import { KNOWN_CONFIGS } from '../model/known-configs';
import { loadModel, type OpenModel } from '../model/load';
import type { BackendStores } from '../storage/backends';
import type { StorageNotes } from '../storage/notes';
import type { ModelStore } from '../storage/store';
import { parseHParams } from '../train/parse-hparams';
import { ChatDesk } from './chat-desk';
import { curatedModels } from './curated';
import { DataDesk } from './data-desk';
import { StateError } from './errors';
import { estimate } from './estimate';
import { EvaluateDesk } from './evaluate-desk';
import { ExportDesk } from './export-desk';
import { GpuDesk } from './gpu-desk';
import { GpuTurn } from './gpu-turn';
import { ModelDesk, type OpenedSource } from './model-desk';
import { summarize } from './model-summary';
import type {
  ChatRequests,
  DataOffer,
  DataRequests,
  DeviceRequests,
  EvaluateRequests,
  ExportRequests,
  ModelRequests,
  ModelSummary,
  Requests,
  RequestType,
  RunPlan,
  RunProgress,
  RunRequests,
  Settings,
  StorageRequests,
  WandbRequests,
  WorkerEvent,
} from './protocol';
import { RunDesk } from './run-desk';
import { planRun } from './run-plan';
import type { PlannedRun } from './run-record';
import { StorageDesk, storedModels, storedRuns } from './storage-desk';
import { WandbDesk } from './wandb-desk';

export interface StudioHost {
  gpu: GPU | undefined;
  /** Where small things about this machine are remembered, and by which version of the app. */
  notes: StorageNotes;
  version: string;
  store: BackendStores;
  /** Where runs are kept: another store than the models'. */
  runStore: ModelStore;
  /** Web Locks, where there are some. */
  locks?: LockManager;
  emit(event: WorkerEvent): void;
}

const HUB = 'https://huggingface.co';

type LoadArgs = ModelRequests['loadModel']['args'];

type Handlers = { [K in RequestType]: (args: Requests[K]['args']) => Promise<Requests[K]['result']> };

interface Loaded {
  /** How it is loaded again; null where the visitor has to give access to its files anew. */
  load: LoadArgs | null;
  open: OpenModel;
  tokenizer: Tokenizer;
  summary: ModelSummary;
}

export class Studio {
  readonly #host: StudioHost;
  readonly #desk: DataDesk;
  readonly #models: ModelDesk;
  readonly #exports: ExportDesk;
  readonly #runs: RunDesk;
  readonly #evaluations: EvaluateDesk;
  readonly #wandb: WandbDesk;
  readonly #turn = new GpuTurn();
  readonly #gpu: GpuDesk;
  readonly #chat: ChatDesk;
  /** Ends in "/". */
  #baseUrl = '';
  #hubUrl = HUB;
  #loaded: Loaded | null = null;

  constructor(host: StudioHost) {
    this.#host = host;
    this.#gpu = new GpuDesk({
      api: host.gpu,
      notes: host.notes,
      version: host.version,
      turn: this.#turn,
      // A profile is all that tiers differ in: weights lie on the GPU alike in each.
      onChange: (gpu) => {
        if (this.#loaded) this.#loaded.open.gpu = gpu;
      },
      onInfo: (info) => host.emit({ event: 'device', info }),
      onLost: (message) => {
        this.#loaded = null;
        host.emit({ event: 'deviceLost', error: { code: 'device-lost', message } });
      },
    });
    this.#desk = new DataDesk({
      places: () => ({ dataUrl: `${this.#baseUrl}data/`, hubUrl: this.#hubUrl }),
      model: () => this.#loaded && { tokenizer: this.#loaded.tokenizer, id: tokenizerId(this.#loaded.summary) },
      emit: host.emit,
    });
    this.#models = new ModelDesk({
      store: host.store,
      places: () => ({ modelsUrl: `${this.#baseUrl}models`, hubUrl: this.#hubUrl }),
      onProgress: (progress) => host.emit({ event: 'modelProgress', progress }),
    });
    this.#runs = new RunDesk({
      store: host.runStore,
      locks: host.locks,
      emit: (event) => {
        host.emit(event);
        this.#wandb.observe(event);
      },
      model: () => this.#model(),
      gpu: () => this.#gpu.gpu,
      turn: this.#turn,
    });
    this.#wandb = new WandbDesk({
      record: async (id) => (await this.#runs.handlers.runs({})).find(({ record }) => record.id === id)?.record,
      emit: host.emit,
    });
    this.#chat = new ChatDesk({
      model: () => this.#model(),
      data: () => this.#desk.data,
      adapter: () => this.#runs.adapter,
      isPaused: () => this.#runs.isPaused,
      gpu: () => this.#gpu.gpu,
      turn: this.#turn,
      emit: host.emit,
    });
    this.#exports = new ExportDesk({
      subject: () =>
        this.#runs.finished &&
        this.#loaded && { run: this.#runs.finished, open: this.#loaded.open, model: this.#loaded.summary },
      emit: host.emit,
      hubUrl: () => this.#hubUrl,
    });
    this.#evaluations = new EvaluateDesk({
      places: () => ({ dataUrl: `${this.#baseUrl}data/`, hubUrl: this.#hubUrl }),
      model: () => this.#model(),
      tokenizerId: () => tokenizerId(this.#model().summary),
      data: () => this.#desk.data,
      finished: () => this.#runs.finished,
      turn: this.#turn,
      emit: host.emit,
    });
    const storage = new StorageDesk(host.store, [
      storedModels(host.store, (id) => this.#mayDelete(id)),
      storedRuns(host.runStore, () => this.#runs.handlers.runs({})),
    ]);
    this.handlers = {
      ...this.#ownHandlers,
      ...this.#gpu.handlers,
      ...this.#desk.handlers,
      ...this.#models.handlers,
      ...this.#exports.handlers,
      ...this.#runs.handlers,
      ...this.#evaluations.handlers,
      ...this.#chat.handlers,
      ...storage.handlers,
      ...this.#wandb.handlers,
      continueRun: (args) => this.#wandb.follow(() => this.#runs.handlers.continueRun(args)),
    };
  }

  readonly handlers: Handlers;

  readonly #ownHandlers: Omit<
    Handlers,
    | keyof ChatRequests
    | keyof DataRequests
    | Exclude<keyof DeviceRequests, 'init'>
    | keyof EvaluateRequests
    | keyof ExportRequests
    | Exclude<keyof RunRequests, 'probe'>
    | keyof StorageRequests
    | keyof WandbRequests
    | Exclude<keyof ModelRequests, 'loadModel'>
  > = {
    init: ({ baseUrl, hubUrl = HUB }) => {
      this.#baseUrl = new URL('.', baseUrl).href;
      this.#hubUrl = hubUrl.replace(/\/$/u, '');
      return this.#gpu.open();
    },
    offers: async () => ({
      models: await this.#models.offers(),
      data: await this.#dataOffers(),
      shapes: KNOWN_CONFIGS.map(({ id, title }) => ({ id, title })),
      curated: curatedModels(),
    }),
    estimate: async (args) => estimate(args, this.#gpu.gpu),
    loadModel: (args) => this.#loadModel(args),
    plan: async (settings) => (await this.#plan(settings)).described,
    train: (settings) => this.#wandb.follow(() => this.#train(settings)),
    probe: async (settings) => this.#runs.probe((await this.#plan(settings)).planned.plan),
    stop: async () => this.#runs.stop(),
  };

  /** A model in use is read from storage: rows of its embedding, and all of it for an export. */
  #mayDelete(id: string): void {
    if (this.#turn.inUse && this.#loaded?.summary.id === id) {
      throw new StateError(
        'in-use',
        'This model is in use. Stop the run, the evaluation or the answer before deleting it.',
      );
    }
  }

  async #dataOffers(): Promise<DataOffer[]> {
    const response = await fetch(`${this.#baseUrl}data/index.json`);
    return response.ok ? ((await response.json()) as DataOffer[]) : [];
  }

  async #loadModel(args: LoadArgs): Promise<ModelSummary> {
    this.#turn.assertFree();
    await this.#gpu.open();
    // The GPU is wanted only once the files are there: what was loaded can be used while they come.
    return this.#models.open(args, (opened) => this.#turn.take('load', () => this.#toGpu(opened, args)));
  }

  async #toGpu(opened: OpenedSource, { source, chatml, quantize }: LoadArgs): Promise<ModelSummary> {
    const { id, title, format, fromStorage } = opened;
    const same = this.#loaded?.summary;
    const onDisk = source.kind === 'folder' || source.kind === 'files';
    if (same?.id === id && !onDisk && same.chatml === chatml && same.quantized === (quantize !== undefined))
      return same;
    const files = chatml ? await asChatmlModel(opened.files, chatml) : opened.files;
    const tokenizer = await loadTokenizer(files);
    const started = performance.now();
    const report = (file: string, bytes: number, totalBytes: number) => {
      const bytesPerSecond = bytes / Math.max(0.001, (performance.now() - started) / 1000);
      const secondsLeft = (totalBytes - bytes) / bytesPerSecond;
      const progress = { id, phase: 'uploading' as const, file, bytes, totalBytes, bytesPerSecond, secondsLeft };
      this.#host.emit({ event: 'modelProgress', progress });
    };
    // Two models seldom fit beside one another: the new one gets the old one's room.
    const open = await loadModel(this.#gpu.gpu!, files, report, { quantize, makeRoom: () => this.#unload() });
    const kind = source.kind;
    const summary = summarize(open, tokenizer, { id, title, format, kind, fromStorage, chatml, quantize });
    const load = onDisk ? null : { source, chatml, quantize };
    this.#loaded = { load, open, tokenizer, summary };
    return summary;
  }

  /** Frees the model on the GPU. What was trained on it can no longer be merged, so it goes as well. */
  async #unload(): Promise<void> {
    if (!this.#loaded) return;
    const { weightMemory, cmd, gpu } = this.#loaded.open;
    this.#loaded = null;
    this.#runs.finished = null;
    weightMemory.destroy();
    cmd.destroy();
    this.#host.emit({ event: 'modelUnloaded' });
    await gpu.device.queue.onSubmittedWorkDone(); // the memory is given back when the GPU is done with it
  }

  async #plan(settings: Settings): Promise<{ planned: PlannedRun; described: RunPlan }> {
    const loaded = this.#model();
    const { data } = this.#desk;
    if (data.isEmpty) throw new StateError('no-data', 'Load preference data first.');
    const { hparams } = parseHParams(settings.hparams);
    const { evalFraction, splitBy = 'prompt', prompt } = settings;
    data.setSplit({ fraction: evalFraction, by: splitBy, seed: hparams.seed });
    const onProgress = this.#desk.progress('tokenising');
    const sets = await data.tokens(loaded.tokenizer, tokenizerId(loaded.summary), hparams, prompt, onProgress);
    return planRun(loaded, data, sets, { ...settings, hparams });
  }

  #model(): Loaded {
    if (!this.#loaded) throw new StateError('no-model', 'Load a model first.');
    return this.#loaded;
  }

  async #train(settings: Settings): Promise<RunProgress> {
    this.#turn.assertFree();
    const { planned, described } = await this.#plan(settings);
    if (described.blockers.length) throw new StateError('plan-blocked', described.blockers.join(' '));
    return this.#runs.train(planned);
  }
}

/** Tells tokenizers apart: ChatML's tokens make another of a model's own. */
const tokenizerId = ({ id, chatml }: ModelSummary): string => (chatml ? `${id} ${chatml}` : id);
