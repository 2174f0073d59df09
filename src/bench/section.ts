/** What a part of the benchmark gets to work with. The same parts run under Node and in a page. */
import type { ModelFiles } from '../formats/bytes';
import type { Gpu } from '../gpu/device';
import type { Bench, Measurement } from './harness';

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
  print(line: string): void;
  /** Prints measurements and keeps them for the report. */
  show(list: readonly Measurement[]): void;
  /** What else the report holds, by section. */
  report: Record<string, unknown>;
}

export type Section = (run: BenchRun) => Promise<void>;
