/** What is kept of a run beside its checkpoints: enough to list it, to judge it and to make it again. */
import type { PromptFormat } from '../data/prompt-formats';
import type { Vote } from '../eval/votes';
import type { HParams } from '../train/hparams';
import type { SampleSettings } from '../train/sample-settings';

/** `running` in the record of a run that nothing works on means that it was cut off. */
export type KeptState = 'running' | 'paused' | 'finished' | 'stopped' | 'failed';

/** Settings as the page knows them. */
export type RunSettings = { hparams: HParams; samples?: SampleSettings };

/** `S`: settings; `L`: what a model is loaded with. */
export interface RunRecord<S extends RunSettings = RunSettings, L = unknown> {
  id: string;
  /** The visitor's own, or made from model and data. */
  name: string;
  notes: string;
  /** Milliseconds since 1970. */
  createdAt: number;
  updatedAt: number;
  /** Set while the run can still be brought back. */
  deletedAt: number | null;
  model: {
    id: string;
    title: string;
    format: string;
    /** ChatML's tokens, when it was opened with some. */
    chatml: string | null;
    /** Whether it was quantised as it was loaded. */
    quantized: boolean;
    /** How to load it again; null when its files were on the visitor's disk. */
    load: L | null;
  };
  data: {
    name: string;
    /** SHA-256 (hex) over the tokenised pairs of both sides, in order. */
    fingerprint: string;
    trainPairs: number;
    evalPairs: number;
  };
  settings: S;
  /** What the prompt format came to. Records of earlier versions have neither this nor the next two. */
  promptFormat?: PromptFormat;
  /** Prompts that the run answers on its way, as they are shown and as tokens. */
  samplePrompts?: { text: string; ids: number[] }[];
  /** Blind votes between answers of the base model and of this run's adapter. */
  votes?: Vote[];
  /** Name of the GPU. */
  device: string;
  state: KeptState;
  /** Steps in the newest checkpoint, and of the whole run. */
  step: number;
  totalSteps: number;
  /** Seconds of training behind that checkpoint. */
  seconds: number;
  /** Metrics of the last step and of the last evaluation in it, by TRL's names. */
  last: Record<string, number> | null;
  lastEval: Record<string, number> | null;
  /** Why it failed. */
  error: { code: string; message: string } | null;
}

/** What the visitor may change of a record. */
export type RunChange = Partial<Pick<RunRecord, 'name' | 'notes' | 'deletedAt'>>;

export const isOver = ({ step, totalSteps }: Pick<RunRecord, 'step' | 'totalSteps'>): boolean => step >= totalSteps;
