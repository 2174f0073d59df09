/** The visitor's rows: what was read, what was taken out by hand, how it is split, and its tokens under the settings. */
import type { ParsedData } from '../data/parse';
import { splitRows } from '../data/split';
import type { TokenizedSet } from '../data/tokenize-set';
import type { Tokenizer } from '../data/tokenizer';
import type { SourceRow } from '../data/types';
import type { HParams } from '../train/hparams';
import type { SourcePart } from './data-source';
import { StateError } from './errors';
import { AUTO, renderSettings } from './prompt-choice';
import type {
  DataState,
  DataSummary,
  DuplicateKind,
  PairColumns,
  PairFilter,
  PromptChoice,
  ReadAmount,
  Removal,
  Role,
  Split,
} from './protocol';
import { type ReadOptions, readParts } from './read-source';
import { SharedJob } from './shared-job';
import { type SideTokens, type TokenOptions, tokenizeSide } from './side-tokens';

/** One file, or several read as one. */
interface Loaded {
  parsed: ParsedData;
  parts: SourcePart[];
  amount: ReadAmount;
  removals: { kind: DuplicateKind; rows: Set<SourceRow> }[];
}

export interface SetTokens {
  train: SideTokens;
  eval: SideTokens;
  /** Wall-clock seconds that it took. */
  seconds: number;
}

const DEFAULT_SPLIT: Split = { fraction: 0, by: 'prompt', seed: 42 };

/** What tokens depend on beside the rows. */
const tokenKey = (modelId: string, h: HParams, prompt: PromptChoice) =>
  JSON.stringify([
    modelId,
    prompt,
    [h.truncation, h.truncation_mode, h.max_length, h.max_prompt_length, h.bos_token_id, h.eos_token_id],
  ]);

export class Dataset {
  readonly #loaded: Record<Role, Loaded | null> = { train: null, eval: null };
  #split = DEFAULT_SPLIT;
  #rows: Record<Role, SourceRow[]> | null = null;
  /** Rows by what was found about them, for lists. */
  readonly found = new Map<PairFilter, Set<SourceRow>>();
  readonly #tokens = new SharedJob<SetTokens>();
  /** Grows with every change of the rows or their split. */
  version = 0;

  /** Reads a source for one side. The earlier data stays when this rejects. */
  async read(role: Role, parts: SourcePart[], options: ReadOptions, split: Split): Promise<DataState> {
    const parsed = await readParts(parts, options);
    this.#loaded[role] = { parsed, parts, amount: options.amount, removals: [] };
    this.#changed();
    return this.setSplit(split);
  }

  /** Reads one file whole. */
  load(
    role: Role,
    file: Blob,
    name: string,
    fraction: number,
    onProgress: (bytes: number, totalBytes: number) => void,
  ): Promise<DataState> {
    const part: SourcePart = { name, size: file.size, open: () => file.stream() as ReadableStream<Uint8Array> };
    const { signal } = new AbortController();
    return this.read(role, [part], { amount: { kind: 'all' }, signal, onProgress }, { ...DEFAULT_SPLIT, fraction });
  }

  clear(role: Role, split: Split): DataState {
    this.#loaded[role] = null;
    this.#changed();
    return this.setSplit(split);
  }

  setSplit(split: Split): DataState {
    const { fraction, by, seed } = this.#split;
    if (split.fraction !== fraction || split.by !== by || split.seed !== seed) {
      this.#split = split;
      this.#resplit();
    }
    const { train, eval: evaluation } = this.rows;
    return {
      train: this.#summary('train'),
      eval: this.#summary('eval'),
      trainPairs: train.length,
      evalPairs: evaluation.length,
    };
  }

  get isEmpty(): boolean {
    return !this.#loaded.train;
  }

  get name(): string {
    return this.#loaded.train?.parsed.name ?? '';
  }

  /** What a side was read from, for reading it again. */
  source(role: Role): { parts: SourcePart[]; amount: ReadAmount } | null {
    return this.#loaded[role];
  }

  /** Rows of a file in use, before it is split. */
  fileRows(role: Role): SourceRow[] {
    const loaded = this.#loaded[role];
    if (!loaded) return [];
    const { parsed, removals } = loaded;
    if (removals.length === 0) return parsed.rows;
    return parsed.rows.filter((row) => !removals.some((removal) => removal.rows.has(row)));
  }

  /** Rows of each side: a second file for evaluation, or a share of the first. */
  get rows(): Record<Role, SourceRow[]> {
    this.#rows ??= this.#loaded.eval
      ? { train: this.fileRows('train'), eval: this.fileRows('eval') }
      : splitRows(this.fileRows('train'), this.#split);
    return this.#rows;
  }

  /** Takes rows of the training file out. At least one row stays. */
  remove(kind: DuplicateKind, split: Split): DataState {
    const loaded = this.#loaded.train;
    const rows = this.found.get(kind);
    const here = new Set(this.fileRows('train').filter((row) => rows?.has(row)));
    if (!loaded || here.size === 0) {
      throw new StateError('no-data', 'There are no such rows any more. Check the rows again.');
    }
    if (here.size === this.fileRows('train').length) {
      throw new StateError('no-data', 'No row would be left. Choose another file instead.');
    }
    loaded.removals.push({ kind, rows: here });
    this.#changed();
    return this.setSplit(split);
  }

  /** Brings back what was taken out last. */
  undoRemoval(split: Split): DataState {
    this.#loaded.train?.removals.pop();
    this.#changed();
    return this.setSplit(split);
  }

  /**
   * Both sides as tokens. Done once until rows or the settings they depend on change; asking with other settings
   * cancels what is under way.
   */
  sides(
    tokenizer: Tokenizer,
    modelId: string,
    hparams: HParams,
    prompt: PromptChoice = AUTO,
    onProgress?: TokenOptions['onProgress'],
  ): Promise<SetTokens> {
    const { train, eval: evaluation } = this.rows;
    return this.#tokens.get(tokenKey(modelId, hparams, prompt), async (signal) => {
      const settings = renderSettings(prompt, tokenizer, train);
      const total = train.length + evaluation.length;
      const side = (rows: SourceRow[], before: number) =>
        tokenizeSide(tokenizer, rows, hparams, settings, {
          signal,
          onProgress: (done) => onProgress?.(before + done, total),
        });
      const began = performance.now();
      const sets = { train: await side(train, 0), eval: await side(evaluation, train.length) };
      this.found.set('cut', new Set([...sets.train.cut, ...sets.eval.cut]));
      this.found.set('dropped', new Set([...sets.train.dropped, ...sets.eval.dropped]));
      return { ...sets, seconds: (performance.now() - began) / 1000 };
    });
  }

  async tokens(
    tokenizer: Tokenizer,
    modelId: string,
    hparams: HParams,
    prompt: PromptChoice = AUTO,
    onProgress?: TokenOptions['onProgress'],
  ): Promise<Record<Role, TokenizedSet>> {
    const { train, eval: evaluation } = await this.sides(tokenizer, modelId, hparams, prompt, onProgress);
    return { train: train.set, eval: evaluation.set };
  }

  cancelTokens(): void {
    this.#tokens.cancel();
  }

  #changed(): void {
    this.found.clear();
    this.#resplit();
  }

  #resplit(): void {
    this.#rows = null;
    this.#tokens.clear();
    this.version += 1;
  }

  #summary(role: Role): DataSummary | null {
    const loaded = this.#loaded[role];
    if (!loaded) return null;
    const { parsed, amount, removals } = loaded;
    return {
      name: parsed.name,
      schema: parsed.schema,
      format: parsed.format + (parsed.compressed ? ', compressed' : ''),
      columns: parsed.columns,
      fields: withInner(parsed.fields, parsed.columns),
      unit: parsed.unit,
      rows: parsed.total,
      usable: parsed.usable,
      kept: this.fileRows(role).length,
      limited: parsed.limited,
      amount,
      removals: removals.map(({ kind, rows }): Removal => ({ kind, count: rows.size })),
      problemCounts: parsed.problemCounts,
      problems: parsed.problems,
    };
  }
}

/** Fields to choose from: those seen, and those in use that lie inside others. */
function withInner(fields: readonly string[], columns: PairColumns | null): string[] {
  return [...new Set([...fields, ...Object.values(columns ?? {})])];
}
