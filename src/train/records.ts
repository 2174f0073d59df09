/** What a run reports, in TRL's metric names. */

/** Metrics of one optimizer step, each the unweighted mean over its micro-batches. */
export interface OrpoMetrics {
  nll_loss: number;
  'rewards/chosen': number;
  'rewards/rejected': number;
  'rewards/accuracies': number;
  'rewards/margins': number;
  'logps/chosen': number;
  'logps/rejected': number;
  log_odds_ratio: number;
  log_odds_chosen: number;
  /** Mean raw logit over the real tokens with a loss entry (TRL averages over its padding as well). */
  'logits/chosen': number;
  'logits/rejected': number;
}

export interface StepRecord extends OrpoMetrics {
  /** Optimizer step, from 1. */
  step: number;
  epoch: number;
  loss: number;
  /** L2 norm over all trainable parameters before clipping. */
  grad_norm: number;
  /** The rate this step used. */
  learning_rate: number;
}

/** One answer of the model in training. */
export interface SampleAnswer {
  text: string;
  tokens: number;
  /** False when it was cut off at the most new tokens. */
  ended: boolean;
}

/** What the adapter answered at a step; step 0 is the model before training. */
export interface SampleRecord {
  step: number;
  answers: { prompt: string; greedy: SampleAnswer; sampled: SampleAnswer }[];
}

export type EvalRecord = { step: number; eval_loss: number } & { [K in keyof OrpoMetrics as `eval_${K}`]: number };
