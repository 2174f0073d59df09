/** One task from text to numbers: every item's scores with and without the adapter, and what they count for. */
import type { Tokenizer } from '../data/tokenizer';
import type { AdapterSource } from '../inference/session';
import type { LoadedModel } from '../model/session';
import { produceAnswers } from './answer';
import { EvalControl } from './control';
import { type EncodedItem, ItemEncoder } from './encode';
import type { AnswerItem, EvalItem, EvalTask, MetricName, TaskProblem } from './items';
import { itemMetrics, type MetricValues } from './metrics';
import { type Score, scoreSets } from './score';

/** What one side (the base model, or the tuned one) makes of an item. */
export interface ItemSide {
  values: MetricValues;
  /** Of each choice: sum of log-probabilities in nats, and scored tokens. Empty for produced answers. */
  scores: Score[];
  /** Only of produced answers. */
  answer?: string;
}

export interface ItemResult {
  item: EvalItem;
  /** Base first, then tuned where there is an adapter. */
  sides: ItemSide[];
}

export interface TaskResult {
  name: string;
  format: string;
  metrics: MetricName[];
  items: ItemResult[];
  /** Sequences or prompts whose context was cut on the left. */
  cut: number;
  /** Examples before each question, and the seed that chose them. */
  shots: number;
  seed: number;
  problems: TaskProblem[];
  seconds: number;
}

export interface EvaluateProgress {
  /** Share of the work that is done, 0 to 1. */
  done: number;
  items: number;
  totalItems: number;
}

export interface EvaluateOptions {
  /** Tokens that stop a produced answer. */
  stopIds: readonly number[];
  /** Longest input; the model's own limit when absent. */
  maxLength?: number;
  /** Tokens of one pass. */
  budget?: number;
  shots?: number;
  seed?: number;
  control?: EvalControl;
  onProgress?(progress: EvaluateProgress): void;
}

/** Longest input unless more is asked for: the model may read far more than its cache and activations have room for. */
export const DEFAULT_MAX_LENGTH = 2048;

/**
 * Evaluates a task, whose few-shot examples are already in it. With an adapter every item has two sides, computed over
 * the same rows: without it and with it.
 * @throws EvaluationError `cancelled`; GpuError
 */
export async function evaluateTask(
  model: LoadedModel,
  adapter: AdapterSource | null,
  tokenizer: Tokenizer,
  task: EvalTask,
  options: EvaluateOptions,
): Promise<TaskResult> {
  const started = performance.now();
  const { name, format, metrics, items, problems } = task;
  const sides = adapter ? [false, true] : [false];
  const maxLength = Math.min(options.maxLength ?? DEFAULT_MAX_LENGTH, model.config.maxPositions);
  const run = items[0].kind === 'answer' ? evaluateAnswers : evaluateChoices;
  const { results, cut } = await run(model, adapter, tokenizer, items, { ...options, sides, maxLength });
  const { shots = 0, seed = 0 } = options;
  const seconds = (performance.now() - started) / 1000;
  return { name, format, metrics, items: results, cut, shots, seed, problems, seconds };
}

type Inner = EvaluateOptions & { sides: boolean[]; maxLength: number };
type Outcome = { results: ItemResult[]; cut: number };

async function evaluateChoices(
  model: LoadedModel,
  adapter: AdapterSource | null,
  tokenizer: Tokenizer,
  items: readonly EvalItem[],
  { sides, maxLength, budget, control = new EvalControl(), onProgress }: Inner,
): Promise<Outcome> {
  const encoder = new ItemEncoder(tokenizer, maxLength);
  const encoded: EncodedItem[] = [];
  for (const item of items) {
    await control.breathe();
    if (item.kind !== 'answer') encoded.push(item.kind === 'pair' ? encoder.pair(item) : encoder.choices(item));
  }
  const sets = encoded.map(({ sequences }) => sequences);
  const scores = await scoreSets(model, adapter, sets, {
    sides,
    budget,
    control,
    onProgress: ({ groups, tokens, totalTokens }) =>
      onProgress?.({ done: tokens / totalTokens, items: Math.min(groups, items.length), totalItems: items.length }),
  });
  const results = items.map((item, i): ItemResult => {
    const { lengths } = encoded[i];
    return { item, sides: scores.map((side) => ({ scores: side[i], values: itemMetrics(item, side[i], lengths) })) };
  });
  return { results, cut: encoded.reduce((sum, { cut }) => sum + cut, 0) };
}

async function evaluateAnswers(
  model: LoadedModel,
  adapter: AdapterSource | null,
  tokenizer: Tokenizer,
  items: readonly EvalItem[],
  { sides, maxLength, stopIds, control, onProgress }: Inner,
): Promise<Outcome> {
  const asked = items.filter((item): item is AnswerItem => item.kind === 'answer');
  const { texts, cut } = await produceAnswers(model, adapter, tokenizer, asked, {
    sides,
    maxLength,
    stopIds,
    control,
    onProgress: (done) => {
      const share = done / (sides.length * asked.length);
      onProgress?.({ done: share, items: Math.floor(done / sides.length), totalItems: asked.length });
    },
  });
  const results = asked.map((item, i): ItemResult => {
    const side = (answer: string): ItemSide => ({
      scores: [],
      answer,
      values: { exact_match: answer === item.target.trim() ? 1 : 0 },
    });
    return { item, sides: texts.map((list) => side(list[i])) };
  });
  return { results, cut };
}
