/** The part of the protocol about runs that are kept: checkpoints, history, and what a run starts from. */
import type { RunChange, RunRecord } from '../runs/record';
import type { RunCard } from '../runs/run-card';
import type { EvalRecord, SampleRecord, StepRecord } from '../train/records';
import type { ExportResult, RunProgress, Settings, StudioError } from './protocol';
import type { ModelRequests } from './protocol-models';

export type { KeptState, RunChange } from '../runs/record';
export type { RunCard } from '../runs/run-card';
export type { SampleAnswer, SampleRecord } from '../train/records';

/** How the model of a run is loaded again. */
export type ModelLoad = Pick<ModelRequests['loadModel']['args'], 'source' | 'chatml' | 'quantize'>;

export type KeptRecord = RunRecord<Settings, ModelLoad>;

export interface RunSummary {
  record: KeptRecord;
  /** Steps of its checkpoints in storage, rising. */
  checkpoints: number[];
  bytes: number;
  /** True while this or another tab trains it. */
  live: boolean;
}

export interface RunCurves {
  steps: StepRecord[];
  evals: EvalRecord[];
  samples: SampleRecord[];
}

/**
 * `checkpoint`: the newest one with settings and pairs, as one file. `card`: what makes the run again, as JSON.
 * `trainer-state`: transformers' trainer_state.json. `tensorboard`: an event file.
 */
export type RunForm = 'checkpoint' | 'card' | 'csv' | 'trainer-state' | 'tensorboard';

/** A PEFT adapter that the next run starts from. */
export interface StartAdapter {
  name: string;
  /** Of adapter_model.safetensors. */
  sha256: string;
  /** Settings that the run must have; they are taken over. */
  hparams: Pick<
    Settings['hparams'],
    'lora_r' | 'lora_alpha' | 'use_rslora' | 'use_dora' | 'target_modules' | 'lora_dropout'
  >;
  /** The base model it names. */
  baseModel: string | null;
}

export interface ProbeResult {
  /** Compiling and the first step. */
  firstSeconds: number;
  secondsPerStep: number;
  /** Of the whole run, evaluations included. */
  totalSeconds: number;
}

export interface RunRequests {
  /**
   * Goes on from a run's newest sound checkpoint, or from its beginning when it has none. The model must be loaded; the
   * data need not be. Answers as `train` does. The curves so far come as the event `restored`.
   */
  continueRun: { args: { id: string }; result: RunProgress };
  /** Makes a run's newest checkpoint what `export` writes. The model must be loaded. */
  openRun: { args: { id: string }; result: RunProgress };
  pause: { args: Record<string, never>; result: RunProgress };
  resume: { args: Record<string, never>; result: RunProgress };
  /** One step of a paused run. */
  singleStep: { args: Record<string, never>; result: RunProgress };
  /**
   * Times every kernel of the next step of the run under way; they come as the event `kernels`. Rejects with
   * `no-timestamps` where the device cannot.
   */
  profileStep: { args: Record<string, never>; result: null };
  /** The text of a training pair of the run that goes on or was last; `row` as in the event `margins`. */
  runPair: { args: { row: number }; result: { prompt: string; chosen: string; rejected: string } };
  /** Makes two steps of a run with these settings on the GPU, and forgets them again. */
  probe: { args: Settings; result: ProbeResult };
  /** Newest first, those that were deleted left out. */
  runs: { args: Record<string, never>; result: RunSummary[] };
  runCurves: { args: { id: string }; result: RunCurves };
  /** Renames, notes, deletes (`deletedAt`) or brings back (null). */
  changeRun: { args: { id: string; change: RunChange }; result: RunSummary[] };
  /** The job as a folder for other trainers on a bigger machine, zipped. The run's model must be loaded. */
  handOver: { args: { id: string }; result: ExportResult };
  exportKept: { args: { id: string; form: RunForm }; result: ExportResult };
  /** Takes in a checkpoint file as a run of its own. */
  importCheckpoint: { args: { file: File }; result: RunSummary };
  /** Reads a run card. Rejects with `bad-run-card` or `bad-settings`. */
  readRunCard: { args: { text: string }; result: RunCard<Settings, ModelLoad> };
  /** Reads adapter_model.safetensors and adapter_config.json; the next run that has this adapter's settings starts from it. */
  loadAdapter: { args: { files: File[] }; result: StartAdapter };
  clearAdapter: { args: Record<string, never>; result: null };
}

export type RunEvent =
  /** A run is kept under this id from now on. */
  | { event: 'runKept'; runId: string; fingerprint: string }
  /** Storage refused a new run, as when it is full or in some private windows. The run goes on in memory. */
  | { event: 'runNotKept'; record: KeptRecord; error: StudioError }
  /** A run goes on: what it has behind it. `damaged` are steps of checkpoints that had changed in storage and were left out. */
  | { event: 'restored'; run: RunSummary; curves: RunCurves; damaged: number[] }
  /** Reward margins of the pairs of a step. */
  | { event: 'margins'; step: number; rows: number[]; margins: number[] }
  /** Answers to the run's prompts, as the adapter gives them at this step. */
  | { event: 'sample'; record: SampleRecord }
  /** There is no room for answers; the run goes on without. */
  | { event: 'samplesFailed'; error: StudioError }
  | { event: 'kernels'; step: number; milliseconds: number; times: { name: string; dispatches: number; ms: number }[] }
  | { event: 'checkpoint'; step: number; bytes: number }
  /** A checkpoint could not be stored. The run goes on, and those before it are untouched. */
  | { event: 'checkpointFailed'; step: number; error: StudioError };
