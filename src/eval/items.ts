/** What a task asks: items as text, before any model sees them. Names and ways of counting are lm-evaluation-harness'. */

/** A continuation and what it continues; the continuation alone is scored. */
export interface Choice {
  context: string;
  continuation: string;
}

interface Place {
  /** 1-based line of its file, or index of the row where lines mean nothing. */
  line: number;
  /** The question, for lists. */
  title: string;
}

/** Multiple choice by log-likelihood. Partial scoring has several contexts and one continuation, sentence pairs none. */
export interface ChoiceItem extends Place {
  kind: 'choice';
  choices: Choice[];
  /** Index of the right choice. */
  gold: number;
  /** TruthfulQA: which choices belong to mc1 (where `gold` is right) and to mc2, and which of mc2's are true. */
  truth?: { mc1: number[]; mc2: number[]; right: number[] };
}

/** An answer that must be produced, greedily. */
export interface AnswerItem extends Place {
  kind: 'answer';
  prompt: string;
  target: string;
  /** Texts that end the answer, themselves left out. */
  until: string[];
}

/** A preference pair as it is trained on: the answers' tokens are scored. */
export interface PairItem extends Place {
  kind: 'pair';
  chosen: { ids: readonly number[]; scoredFrom: number };
  rejected: { ids: readonly number[]; scoredFrom: number };
}

export type EvalItem = ChoiceItem | AnswerItem | PairItem;

/** What is counted of an item: a number from 0 to 1 each, of which a task's result is the mean. */
export type MetricName = 'acc' | 'acc_norm' | 'mc1' | 'mc2' | 'exact_match' | 'acc_mean' | 'acc_sum';

export interface TaskProblem {
  line: number;
  message: string;
}

export interface EvalTask {
  name: string;
  /** What the rows were read as. */
  format: string;
  items: EvalItem[];
  /** Before the first example or question of every item. */
  description: string;
  metrics: MetricName[];
  /** Rows that cannot be used. */
  problems: TaskProblem[];
}

/** The metrics of a set of items of one kind. */
export function metricsOf(items: readonly EvalItem[]): MetricName[] {
  const [first] = items;
  if (!first) return [];
  if (first.kind === 'answer') return ['exact_match'];
  if (first.kind === 'pair') return ['acc_mean', 'acc_sum'];
  return first.truth ? ['mc1', 'mc2'] : ['acc', 'acc_norm'];
}
