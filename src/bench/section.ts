/** What a part of the benchmark gets to work with. The same parts run under Node and in a page. */
import type { TokenizedPair } from '../data/types';
import type { ModelFiles } from '../formats/bytes';
import type { Gpu } from '../gpu/device';
import type { Bench, Measurement } from './harness';

/** What is asked of the other side of a comparison: bench/pytorch_reference.py has the meaning of each field. */
export interface ReferenceRequest {
  dtype: 'fp32' | 'tf32' | 'bf16';
  rows?: string;
  batches?: number[][];
  pairs?: number;
  length?: number;
  steps?: number;
  warm?: number;
  shape?: Record<string, number>;
}

export interface ReferenceAnswer {
  dtype: string;
  /** Milliseconds of every step. */
  ms: number[];
  tokens: number;
  tokensPerSecond: number;
  peakBytes: number | null;
  losses: number[];
}

/** Another trainer on the same device, in a process of its own that is idle unless it is asked. */
export interface Reference {
  about(): Promise<Record<string, string>>;
  /** Null when that side failed; what it said is in the report. */
  ask(request: ReferenceRequest): Promise<ReferenceAnswer | null>;
  /** Writes pairs as JSONL where the reference can read them, and answers its path. */
  file(pairs: readonly TokenizedPair[]): Promise<string>;
}

export interface BenchRun {
  gpu: Gpu;
  bench: Bench;
  /** Smaller shapes and fewer repetitions. */
  quick: boolean;
  /** The files of a folder of the project, e.g. `public/models/stories-260k`; null where there is none. */
  folder(path: string): Promise<ModelFiles | null>;
  /** The model that was named to be measured, with its name; null when none was. */
  model: { name: string; files: ModelFiles; quantize: boolean } | null;
  /** JavaScript's own memory in use now, array buffers included, in bytes; null where it cannot be told. */
  heapBytes(): number | null;
  /** The other side of a comparison; null when none was named. */
  reference: Reference | null;
  /** Token ids of pairs that were named to be trained on; null when none were. */
  pairs: TokenizedPair[] | null;
  /** `keep_bytes` of the runs beside the reference, in turn; the first is what the other figures belong to. */
  keepBytes: readonly number[];
  /** Seconds until the benchmark should have ended. What is in the report by then is kept. */
  secondsLeft(): number;
  /** Keeps the report as it is now. */
  save(): Promise<void>;
  print(line: string): void;
  /** Prints measurements and keeps them for the report. */
  show(list: readonly Measurement[]): void;
  /** What else the report holds, by section. */
  report: Record<string, unknown>;
}

export type Section = (run: BenchRun) => Promise<void>;
