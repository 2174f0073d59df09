/** The part of the protocol about benchmarks: what is evaluated, how far it is, and what came out of it. */
import type { MetricRow } from '../eval/compare';
import type { MetricName } from '../eval/items';
import type { Perplexity } from '../eval/perplexity';
import type { DataOffer, Settings } from './protocol';
import type { DataSource } from './protocol-data';

export type { MetricRow } from '../eval/compare';
export type { MetricName } from '../eval/items';
export type { Perplexity } from '../eval/perplexity';

/** `heldOut`: the data's held-out pairs. `benchmark`: questions, or preference pairs. `text`: plain text. */
export interface EvaluateTask {
  /** Its key in the report. */
  id: string;
  title: string;
  kind: 'heldOut' | 'benchmark' | 'text';
  /** Absent for held-out pairs. */
  source?: DataSource;
}

export interface EvaluateOrder {
  tasks: EvaluateTask[];
  /** Tokenising and splitting of held-out pairs. */
  settings: Settings;
  /** Only the first so many questions of each task; null: all. */
  limit: number | null;
  /** Solved examples before each question. */
  shots: number;
  seed: number;
}

export interface EvaluateProgress {
  title: string;
  /** Which task of how many, from 1. */
  number: number;
  count: number;
  /** Of this task, 0 to 1. */
  done: number;
  items: number;
  totalItems: number;
  secondsLeft: number | null;
  paused: boolean;
}

/** One finished task. */
export interface TaskReport {
  id: string;
  title: string;
  format: string;
  shots: number;
  seconds: number;
  /** Sequences whose context was cut on the left. */
  cut: number;
  /** Rows that could not be used, and what was wrong with the first. */
  unused: { count: number; first: string } | null;
  rows: MetricRow[];
  /** Of a plain text, in place of `rows`. */
  text: Perplexity | null;
}

/** What one side makes of an item. */
export interface ItemSideView {
  right: boolean;
  /** Log-probability of each choice in nats, or of the chosen and the rejected answer. */
  scores: number[];
  answer: string | null;
}

export interface ItemView {
  /** 1-based line of its file. */
  line: number;
  title: string;
  choices: string[];
  /** Index of the right choice. */
  gold: number;
  /** Of tasks whose answer is produced. */
  target: string | null;
  sides: ItemSideView[];
}

export type ItemFilter = 'flipped' | 'won' | 'lost' | 'all';

export interface ItemsPage {
  total: number;
  items: ItemView[];
}

/** `json`: lm-evaluation-harness' results.json. `csv`: the table. `items`: every item of one task. */
export type EvaluateForm = 'json' | 'csv' | 'items';

export interface EvaluateRequests {
  /** Benchmarks that lie on this site. */
  benchmarks: { args: Record<string, never>; result: DataOffer[] };
  /**
   * Answers when all tasks are done; each is told as the event `evaluated` before. Base and tuned where there is a
   * trained adapter, otherwise the base alone. Rejects with `cancelled`; what was done stays.
   */
  evaluate: { args: EvaluateOrder; result: TaskReport[] };
  steerEvaluation: { args: { how: 'pause' | 'resume' | 'cancel' }; result: null };
  evaluatedItems: {
    args: { id: string; metric: MetricName; filter: ItemFilter; query: string; from: number; count: number };
    result: ItemsPage;
  };
  evaluationFile: {
    args: { form: EvaluateForm; id?: string };
    result: { name: string; mimeType: string; text: string };
  };
}

export type EvaluateEvent =
  | { event: 'evaluating'; progress: EvaluateProgress }
  | { event: 'evaluated'; report: TaskReport };
