/**
 * The one contract between the page and its engine thread.
 *
 * The page sends a `Request`; the worker answers each with exactly one `Response` of the same `id`, and in between
 * emits `WorkerEvent`s. Everything here is plain data that structured clone can carry.
 */
import type { ChatmlTokenSource } from '../data/chatml-model';
import type { ChatmlSupport } from '../data/chatml-tokens';
import type { Advice } from '../train/advice';
import type { HParams } from '../train/hparams';
import type { EvalRecord, StepRecord } from '../train/records';
import type { ChatEvent, ChatRequests, SampleSettings } from './protocol-chat';
import type { DataPreview, DataRequests, PromptChoice, Role, Split } from './protocol-data';
import type { DeviceEvent, DeviceRequests } from './protocol-device';
import type { EvaluateEvent, EvaluateRequests } from './protocol-evaluate';
import type { ExportProgress, ExportRequests, MergeBase } from './protocol-export';
import type { CuratedModel, ModelRequests, ModelSource } from './protocol-models';
import type { RunEvent, RunRequests } from './protocol-runs';
import type { StorageRequests } from './protocol-storage';
import type { WandbEvent, WandbRequests } from './protocol-wandb';

export { tallyOf } from '../eval/votes';
/** What every setting is unless somebody says otherwise, and the modules that may carry an adapter. */
export { DEFAULT_HPARAMS, TARGET_MODULES } from '../train/hparams';
export {
  checkSampleNumber,
  DEFAULT_SAMPLES,
  MOST_SAMPLE_PROMPTS,
  parseSamples,
} from '../train/sample-settings';
export type * from './protocol-chat';
export type * from './protocol-data';
export type * from './protocol-device';
export type * from './protocol-evaluate';
export type * from './protocol-export';
export type * from './protocol-models';
export type * from './protocol-runs';
export type * from './protocol-storage';
export type { WandbEvent, WandbRequests, WandbSettings, WandbStatus } from './protocol-wandb';
export type { ChatmlSupport, ChatmlTokenSource, EvalRecord, HParams, StepRecord };

// ---------------------------------------------------------------------------------------------- what is described

/** A model the studio offers, or has in storage. `id` is stable and is the key in storage. */
export interface ModelOffer {
  id: string;
  source: ModelSource;
  title: string;
  /** One sentence: what it is and what it is good for. */
  about: string;
  /** e.g. "NF4, 4-bit" or "F32". */
  format: string;
  parameters: number;
  downloadBytes: number;
  /** Bytes of it already in storage; equal to downloadBytes when complete. */
  storedBytes: number;
  /** True when training it without a real GPU takes minutes rather than hours. */
  fineOnCpu: boolean;
  /** Its linear layers are in 16 or 32 bits and can be quantised to NF4 while loading. */
  quantizable: boolean;
}

export interface ModelSummary {
  id: string;
  origin: ModelSource['kind'];
  title: string;
  parameters: number;
  layers: number;
  hiddenSize: number;
  vocabSize: number;
  maxPositions: number;
  format: string;
  /** It was asked for that its 16-bit linear layers become NF4. */
  quantized: boolean;
  hasChatTemplate: boolean;
  /** Whether ChatML's marks are tokens of this model, and if not, where they could come from. */
  chatmlSupport: ChatmlSupport;
  /** What was changed when it was opened, so that it knows ChatML. */
  chatml?: ChatmlTokenSource;
  fromStorage: boolean;
  /** What an adapter can be merged into, the default first. */
  mergeBases: MergeBase[];
}

export interface DataOffer {
  id: string;
  title: string;
  about: string;
  rows: number;
  /** Id of the built-in model that it was made for. */
  model?: string;
}

/** One line of the memory plan. */
export interface MemoryItem {
  name: 'weights' | 'lora' | 'moments' | 'checkpoints' | 'activations' | 'cache' | 'head' | 'other';
  label: string;
  bytes: number;
}

/** A published shape that a memory plan can be made for. */
export interface KnownShape {
  id: string;
  title: string;
}

export interface MemoryEstimate {
  parameters: number;
  memory: MemoryItem[];
  memoryBytes: number;
  largestBuffer: { name: string; bytes: number; limit: number };
  /** Whether it fits the memory stated and the adapter's limits. */
  fits: boolean;
  /** What would make it fit, the mildest change first; empty when it fits or nothing helps. */
  waysToFit: { change: string; bytes: number }[];
}

export interface RunPlan {
  totalSteps: number;
  warmupSteps: number;
  stepsPerEpoch: number;
  effectiveBatch: number;
  trainPairs: number;
  evalPairs: number;
  /** Pairs left out because truncation leaves no answer, and the like. */
  droppedPairs: number;
  truncatedPairs: number;
  trainTokens: number;
  /** Tokens TRL would compute with its padding, for the same batches. */
  paddedTokens: number;
  trainableParameters: number;
  memory: MemoryItem[];
  memoryBytes: number;
  /** What the run will be asked on its way; empty when nothing is. */
  samplePrompts: string[];
  /** Empty when the run may start; otherwise sentences that say what to change. */
  blockers: string[];
  warnings: string[];
  /** Settings that seldom work, and where that is known from. */
  advice: Advice[];
}

export interface Settings {
  hparams: HParams;
  /** Share of the training file held out for evaluation when no second file is given, 0..0.5. */
  evalFraction: number;
  /** How held-out pairs are drawn; by prompt when absent. The seed is the run's. */
  splitBy?: Split['by'];
  /** How rows become text; `auto` when absent. */
  prompt?: PromptChoice;
  /** Prompts that the run answers on its way; none when absent. */
  samples?: SampleSettings;
  /** SHA-256 of the adapter that the run starts from in place of a random one; it must be the one loaded last. */
  startAdapter?: string;
}

export type RunState =
  | 'idle'
  | 'preparing'
  | 'running'
  | 'pausing'
  | 'paused'
  | 'stopping'
  | 'finished'
  | 'stopped'
  | 'failed';

export interface RunProgress {
  state: RunState;
  step: number;
  totalSteps: number;
  epoch: number;
  tokensPerSecond: number;
  pairsPerSecond: number;
  secondsLeft: number | null;
  /** What is being done right now, for people, e.g. "compiling kernels 12 of 40", "evaluating". */
  activity: string;
}

/** An error with a next step. `code` is stable; `message` is a sentence or two for people. */
export interface StudioError {
  code: string;
  message: string;
  /** Where a person can do something about it, e.g. ask for access. */
  url?: string;
}

export interface ModelProgress {
  id: string;
  phase: 'downloading' | 'verifying' | 'uploading';
  file: string;
  /** Of this file; while verifying, what is checked. Absent while uploading, like the next three. */
  fileBytes?: number;
  fileTotalBytes?: number;
  /** Which file of how many, from 1. */
  fileNumber?: number;
  fileCount?: number;
  bytes: number;
  totalBytes: number;
  bytesPerSecond: number;
  secondsLeft: number | null;
}

// ---------------------------------------------------------------------------------------------- requests

export interface Requests
  extends ChatRequests,
    DataRequests,
    DeviceRequests,
    EvaluateRequests,
    ExportRequests,
    ModelRequests,
    RunRequests,
    StorageRequests,
    WandbRequests {
  offers: {
    args: Record<string, never>;
    result: { models: ModelOffer[]; data: DataOffer[]; shapes: KnownShape[]; curated: CuratedModel[] };
  };
  /** The memory of a run before anything is downloaded. `config` is the text of a config.json. */
  estimate: {
    args: {
      shape: { known: string } | { config: string };
      format: 'NF4' | 'BF16' | 'F32';
      hparams: HParams;
      /** Pairs in one pass. */
      pairs: number;
      /** Share of each sequence that both answers have in common, 0..0.9. */
      promptShare: number;
      /** What the visitor says the GPU has; null when not said. */
      gpuMemoryBytes: number | null;
    };
    result: MemoryEstimate;
  };
  /** Tokenises with these settings and lays out the run. Needs a model and data. */
  plan: { args: Settings; result: RunPlan };
  /** Answers when the run has ended: finished, stopped by the visitor, or failed (then it rejects). */
  train: { args: Settings; result: RunProgress };
  stop: { args: Record<string, never>; result: RunProgress };
}

export type RequestType = keyof Requests;

export type Request = { [K in RequestType]: { id: number; type: K; args: Requests[K]['args'] } }[RequestType];

export type Response =
  | { id: number; ok: true; result: Requests[RequestType]['result'] }
  | { id: number; ok: false; error: StudioError };

// ---------------------------------------------------------------------------------------------- events

export type WorkerEvent =
  | { event: 'modelProgress'; progress: ModelProgress }
  | { event: 'dataProgress'; bytes: number; totalBytes: number }
  | { event: 'dataPreview'; preview: DataPreview }
  | { event: 'dataFields'; role: Role; name: string; fields: string[] }
  | { event: 'tokenProgress'; activity: 'tokenising' | 'checking'; done: number; total: number }
  | { event: 'step'; record: StepRecord }
  | { event: 'eval'; record: EvalRecord }
  | { event: 'progress'; progress: RunProgress }
  | { event: 'exportProgress'; progress: ExportProgress }
  /** The model was freed to make room for another, and with it what was trained on it. */
  | { event: 'modelUnloaded' }
  /** The GPU went away, and with it the model and a run in work. Loading the model again opens it anew. */
  | { event: 'deviceLost'; error: StudioError }
  | ChatEvent
  | DeviceEvent
  | EvaluateEvent
  | RunEvent
  | WandbEvent;

export type FromWorker = Response | WorkerEvent;
