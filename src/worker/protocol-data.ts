/** What page and engine thread say to each other about preference data. Part of protocol.ts, which gives it out. */
import type { LengthHistogram } from '../data/lengths';
import type { PromptFormat } from '../data/prompt-formats';
import type { PairColumns } from '../data/schema/pair-reader';
import type { RowView } from '../data/token-view';
import type { ChatMessage, PreferenceRow, RowProblem } from '../data/types';
import type { WarningCode } from '../data/warnings';
import type { HParams } from '../train/hparams';

export type { HistogramBin, LengthHistogram } from '../data/lengths';
export type { PromptFormat } from '../data/prompt-formats';
export type { PairColumns } from '../data/schema/pair-reader';
export type { RowView, SideView, TokenRole, ViewToken } from '../data/token-view';
export type { PreferenceRow, RowProblem } from '../data/types';
export type { WarningCode } from '../data/warnings';

export type Role = 'train' | 'eval';

/** Where rows come from. Several files are read as one set. `hub` is a data set of the Hugging Face hub. */
export type DataSource = { files: File[] } | { text: string } | { builtin: string } | { hub: HubSource };

export interface HubSource {
  /** "owner/name". */
  dataset: string;
  config: string;
  split: string;
  /** For gated and private data sets; kept in memory only, and sent to the hub alone. */
  token?: string;
}

/** Parquet files of a data set, by configuration and split. */
export interface HubListing {
  dataset: string;
  configs: { name: string; splits: { name: string; files: number }[] }[];
}

/** How much of the source is read. `sample` reads all of it and keeps rows drawn evenly with the seed. */
export type ReadAmount =
  | { kind: 'all' }
  | { kind: 'first'; rows: number }
  | { kind: 'sample'; rows: number; seed: number };

/** Which rows of the training file are held out, when there is no second file. */
export interface Split {
  /** 0..0.5 */
  fraction: number;
  /** `prompt`: all rows of one prompt go to the same side. */
  by: 'prompt' | 'row';
  seed: number;
}

/** How rows become text. */
export interface PromptChoice {
  /** `auto`: the model's chat template where it has one and the rows are not in one already, else as they are. */
  format: PromptFormat | 'auto';
  /** A system turn for conversations without one; "" for none. */
  system: string;
  /** ISO date that templates write where they would write today's. */
  date: string;
  /** Jinja source for the format `custom`. */
  template: string;
}

/** Rows that were taken out by hand, newest last. */
export interface Removal {
  kind: DuplicateKind;
  count: number;
}

export interface DataSummary {
  name: string;
  /** Which fields were read, e.g. "request / chosen / rejected". */
  schema: string;
  /** "JSONL", "Parquet" and so on; of several files the first one's. */
  format: string;
  /** The columns of that schema, for correcting them; null where answers are picked by label or score. */
  columns: PairColumns | null;
  /** Fields seen in the first rows; "input.messages" lies inside "input". */
  fields: string[];
  /** What `line` of a problem counts. */
  unit: 'line' | 'row';
  rows: number;
  usable: number;
  /** Usable rows in use: fewer than `usable` after a sample or after rows were taken out. */
  kept: number;
  /** True when reading stopped at the row limit. */
  limited: boolean;
  amount: ReadAmount;
  removals: Removal[];
  /** Count of unusable rows by reason. */
  problemCounts: { reason: RowProblem['reason']; count: number }[];
  /** The first 200 problems, in file order. */
  problems: RowProblem[];
}

export interface DataState {
  train: DataSummary | null;
  /** A second file, or the share of the first that was set aside. */
  eval: DataSummary | null;
  trainPairs: number;
  evalPairs: number;
}

/** The beginning of a source, while the rest is still being read. */
export interface DataPreview {
  role: Role;
  name: string;
  schema: string;
  fields: string[];
  columns: PairColumns | null;
  pairs: PairExcerpt[];
}

/** One line of the list of pairs: the beginnings of its texts. */
export interface PairExcerpt extends PreferenceRow {
  /** Place among all pairs of its side. */
  index: number;
}

export type DuplicateKind = 'repeated' | 'reversed' | 'same-answers';

/** What a list of pairs may be narrowed to. Findings are those of the latest check or measurement. */
export type PairFilter = WarningCode | DuplicateKind | 'cut' | 'dropped';

export interface PairsPage {
  offset: number;
  /** Pairs that match. */
  total: number;
  pairs: PairExcerpt[];
}

export interface DataSettings {
  hparams: HParams;
  prompt: PromptChoice;
}

/** One pair whole: as its file holds it, as text, and as tokens. */
export interface PairDetail extends PreferenceRow {
  index: number;
  line: number;
  /** Turns, where the file holds turns. */
  chat: { prompt: ChatMessage[]; chosen: ChatMessage[]; rejected: ChatMessage[] } | null;
  /** The text that is tokenised; null when the prompt format refuses the row. */
  rendered: PreferenceRow | null;
  /** Null without a model, or when there is no text. */
  tokens: RowView | null;
  /** Why the pair would not be trained, or null. */
  problem: string | null;
}

export interface Finding<Kind extends string> {
  kind: Kind;
  /** What it means and what to do. */
  message: string;
  count: number;
  /** How many of them are on each side; both 0 when it is about the settings rather than about rows. */
  train: number;
  eval: number;
}

/** What is likely to be a mistake in the rows or in how they become text. */
export interface DataCheck {
  /** The format in use: what `auto` comes to. */
  format: PromptFormat;
  warnings: Finding<WarningCode>[];
  duplicates: Finding<DuplicateKind>[];
  /** Prompts that more than one row asks, and the rows that do. */
  repeatedPrompts: number;
  rowsOfRepeatedPrompts: number;
  /** Prompts that are on both sides of the split. */
  promptsOnBothSides: number;
}

/** Lengths of all pairs in tokens, and what the limit does to them. */
export interface DataMeasure {
  train: LengthHistogram;
  eval: LengthHistogram | null;
  /** Why pairs are left out, both sides together. */
  dropped: { reason: RowProblem['reason']; count: number; message: string }[];
  /** Tokens of all sequences as they are trained, and how fast they were made. */
  tokens: number;
  tokensPerSecond: number | null;
}

/** One file as a stream of its bytes. */
export interface Download {
  name: string;
  mimeType: string;
  stream: ReadableStream<Uint8Array>;
}

export interface DataRequests {
  /**
   * Reads a source for one side. Rejects when no row is usable; earlier data then stays. Where the fields are not
   * recognised, `dataFields` tells their names first, and `mapColumns` may follow.
   */
  loadData: { args: { role: Role; source: DataSource; amount: ReadAmount; split: Split }; result: DataState };
  /** Reads the same source again with these columns, or as recognised (null). */
  mapColumns: { args: { role: Role; columns: PairColumns | null; split: Split }; result: DataState };
  /** Stops a read under way; it then rejects with `cancelled`. */
  cancelRead: { args: Record<string, never>; result: null };
  /** Parquet files of a data set of the hub. */
  hubListing: { args: { dataset: string; token?: string }; result: HubListing };
  clearData: { args: { role: Role; split: Split }; result: DataState };
  splitData: { args: { split: Split }; result: DataState };
  /** Takes out all rows of a kind that the latest check found; `undoRemoval` brings the latest ones back. */
  removeRows: { args: { kind: DuplicateKind; split: Split }; result: DataState };
  undoRemoval: { args: { split: Split }; result: DataState };
  pairs: {
    args: { role: Role; offset: number; limit: number; query?: string; filter?: PairFilter };
    result: PairsPage;
  };
  pair: { args: { role: Role; index: number; settings: DataSettings }; result: PairDetail };
  checkData: { args: DataSettings; result: DataCheck };
  /** Tokenises everything; shares the work with `plan`. Needs a model. */
  measureData: { args: DataSettings; result: DataMeasure };
  /** Stops tokenising and checking; `plan`, `measureData` and `checkData` under way reject with `cancelled`. */
  cancelTokens: { args: Record<string, never>; result: null };
  /** All usable pairs of one side as JSON lines that TRL reads, in the prompt format. */
  prepared: { args: { role: Role; settings: DataSettings }; result: { download: Download } };
}
