/** The engine's side of the protocol: one handler a request, and the state they share. Knows no `self`. */
import { asChatmlModel, type ChatmlTokenSource } from '../data/chatml-model';
import { chatmlSupport } from '../data/chatml-tokens';
import { loadTokenizer, type Tokenizer } from '../data/tokenizer';
import { type Gpu, openGpu } from '../gpu/device';
import { GpuError } from '../gpu/errors';
import type { ModelAbout } from '../hub/manifest';
import { deleteModel, ensureModel, listOffers, manifestModel, openModel } from '../hub/model';
import { parameterCount } from '../model/config';
import { KNOWN_CONFIGS } from '../model/known-configs';
import { loadModel, type OpenModel } from '../model/load';
import type { ModelStore } from '../storage/store';
import { parseHParams } from '../train/parse-hparams';
import { planTraining, type TrainingPlan } from '../train/run-plan';
import { DataDesk } from './data-desk';
import { StateError } from './errors';
import { estimate } from './estimate';
import { exportRun } from './export-run';
import type {
  DataOffer,
  DataRequests,
  DeviceInfo,
  ModelOffer,
  ModelSummary,
  Requests,
  RequestType,
  RunPlan,
  RunProgress,
  Settings,
  WorkerEvent,
} from './protocol';
import { type FinishedRun, Run } from './run';
import { describePlan } from './run-plan';

export interface StudioHost {
  gpu: GPU | undefined;
  store: ModelStore;
  emit(event: WorkerEvent): void;
  /** Address of the Hugging Face hub. */
  hubUrl?: string;
}

const HUB = 'https://huggingface.co';

type Handlers = { [K in RequestType]: (args: Requests[K]['args']) => Promise<Requests[K]['result']> };

interface Loaded {
  open: OpenModel;
  tokenizer: Tokenizer;
  summary: ModelSummary;
}

export class Studio {
  readonly #host: StudioHost;
  readonly #desk: DataDesk;
  /** Ends in "/". */
  #baseUrl = '';
  #gpu: Gpu | null = null;
  #loaded: Loaded | null = null;
  #run: Run | null = null;
  #finished: FinishedRun | null = null;

  constructor(host: StudioHost) {
    this.#host = host;
    this.#desk = new DataDesk({
      places: () => ({ dataUrl: `${this.#baseUrl}data/`, hubUrl: host.hubUrl ?? HUB }),
      model: () => this.#loaded && { tokenizer: this.#loaded.tokenizer, id: tokenizerId(this.#loaded.summary) },
      emit: host.emit,
    });
    this.handlers = { ...this.#ownHandlers, ...this.#desk.handlers };
  }

  readonly handlers: Handlers;

  readonly #ownHandlers: Omit<Handlers, keyof DataRequests> = {
    init: ({ baseUrl }) => {
      this.#baseUrl = new URL('.', baseUrl).href;
      return this.#openGpu();
    },
    offers: async () => ({
      models: await this.#offers(),
      data: await this.#dataOffers(),
      shapes: KNOWN_CONFIGS.map(({ id, title }) => ({ id, title })),
    }),
    estimate: async (args) => estimate(args, this.#gpu),
    loadModel: ({ id, chatml }) => this.#loadModel(id, chatml),
    deleteModel: async ({ id }) => {
      await deleteModel(this.#host.store, id);
      return this.#offers();
    },
    plan: async (settings) => (await this.#plan(settings)).described,
    train: (settings) => this.#train(settings),
    stop: async () => {
      this.#run?.stop();
      return this.#run?.progress ?? idle;
    },
    export: (options) => {
      if (!this.#finished || !this.#loaded) {
        throw new StateError('nothing-to-export', 'There is no trained adapter yet. Train at least one step first.');
      }
      const { open, summary } = this.#loaded;
      return exportRun(options, this.#finished, open, summary, (progress) =>
        this.#host.emit({ event: 'exportProgress', ...progress }),
      );
    },
  };

  async #openGpu(): Promise<DeviceInfo> {
    this.#gpu ??= await openGpu(this.#host.gpu);
    const { info, isSoftware, profile, device } = this.#gpu;
    this.#gpu.lost.then((message) => {
      this.#gpu = null;
      this.#loaded = null;
      this.#host.emit({ event: 'deviceLost', error: { code: 'device-lost', message } });
    });
    return {
      vendor: info.vendor,
      architecture: info.architecture,
      description: info.description,
      isSoftware,
      tier: profile.tier,
      maxBufferSize: device.limits.maxBufferSize,
      maxStorageBufferBindingSize: device.limits.maxStorageBufferBindingSize,
    };
  }

  #offers(): Promise<ModelOffer[]> {
    return listOffers(this.#host.store, `${this.#baseUrl}models`);
  }

  async #dataOffers(): Promise<DataOffer[]> {
    const response = await fetch(`${this.#baseUrl}data/index.json`);
    return response.ok ? ((await response.json()) as DataOffer[]) : [];
  }

  async #loadModel(id: string, chatml?: ChatmlTokenSource): Promise<ModelSummary> {
    if (this.#run) throw new StateError('busy', 'A run is going on. Stop it before loading another model.');
    if (this.#loaded?.summary.id === id && this.#loaded.summary.chatml === chatml) return this.#loaded.summary;
    await this.#openGpu();
    const gpu = this.#gpu!;
    const source = manifestModel(id, `${this.#baseUrl}models/${id}`);
    const { store, emit } = this.#host;
    const { record, fromStorage } = await ensureModel(store, source, {
      onProgress: (progress) => emit({ event: 'modelProgress', progress: { id, ...progress } }),
    });
    const stored = await openModel(store, source);
    const files = chatml ? await asChatmlModel(stored, chatml) : stored;
    const tokenizer = await loadTokenizer(files);
    const started = performance.now();
    const open = await loadModel(gpu, files, (file, bytes, totalBytes) => {
      const bytesPerSecond = bytes / Math.max(0.001, (performance.now() - started) / 1000);
      const secondsLeft = (totalBytes - bytes) / bytesPerSecond;
      emit({
        event: 'modelProgress',
        progress: { id, phase: 'uploading', file, bytes, totalBytes, bytesPerSecond, secondsLeft },
      });
    });
    this.#unload();
    const { config } = open;
    const about = record.about as unknown as ModelAbout;
    const summary: ModelSummary = {
      id,
      title: about.title,
      parameters: parameterCount(config),
      layers: config.layers,
      hiddenSize: config.hiddenSize,
      vocabSize: config.vocabSize,
      maxPositions: config.maxPositions,
      format: about.format,
      hasChatTemplate: tokenizer.hasChatTemplate,
      chatmlSupport: chatmlSupport(tokenizer.specialTokens),
      chatml,
      fromStorage,
      mergeBases: [...open.weights.byName.values()].some((w) => w.format === 'NF4') ? ['trained', 'nf4'] : ['trained'],
    };
    this.#loaded = { open, tokenizer, summary };
    return summary;
  }

  /** Frees the model on the GPU. What was trained on it can no longer be merged, so it goes as well. */
  #unload(): void {
    this.#loaded?.open.weightMemory.destroy();
    this.#loaded?.open.cmd.destroy();
    this.#loaded = null;
    this.#finished = null;
  }

  async #plan(settings: Settings): Promise<{ plan: TrainingPlan; described: RunPlan; loaded: Loaded }> {
    const loaded = this.#loaded;
    if (!loaded) throw new StateError('no-model', 'Load a model first.');
    const { data } = this.#desk;
    if (data.isEmpty) throw new StateError('no-data', 'Load preference data first.');
    const { hparams } = parseHParams(settings.hparams);
    const { evalFraction, splitBy = 'prompt', prompt } = settings;
    data.setSplit({ fraction: evalFraction, by: splitBy, seed: hparams.seed });
    const onProgress = this.#desk.progress('tokenising');
    const sets = await data.tokens(loaded.tokenizer, tokenizerId(loaded.summary), hparams, prompt, onProgress);
    const { gpu, config } = loaded.open;
    const tile = gpu.profile.attentionTile;
    const plan = planTraining(config, gpu.device.limits, tile, hparams, sets.train.pairs, sets.eval.pairs);
    return { plan, described: describePlan(loaded.open, plan, sets), loaded };
  }

  async #train(settings: Settings): Promise<RunProgress> {
    if (this.#run) throw new StateError('busy', 'A run is going on already.');
    const { plan, described, loaded } = await this.#plan(settings);
    if (described.blockers.length) throw new StateError('plan-blocked', described.blockers.join(' '));
    const run = new Run(loaded.open, plan, (event) => this.#host.emit(event));
    this.#run = run;
    try {
      return await run.train(this.#desk.data.name, (finished) => {
        this.#finished = finished;
      });
    } catch (error) {
      if (this.#gpu) throw error;
      throw new GpuError(
        'device-lost',
        'The GPU was lost during the run, and the adapter with it. Load the model and start again; ' +
          'if it happens again, lower max_length or close other programs that use the GPU.',
        { cause: error },
      );
    } finally {
      this.#run = null;
    }
  }
}

/** Tells tokenizers apart: ChatML's tokens make another of a model's own. */
const tokenizerId = ({ id, chatml }: ModelSummary): string => (chatml ? `${id} ${chatml}` : id);

const idle: RunProgress = {
  state: 'idle',
  step: 0,
  totalSteps: 0,
  epoch: 0,
  tokensPerSecond: 0,
  pairsPerSecond: 0,
  secondsLeft: null,
  activity: '',
};
