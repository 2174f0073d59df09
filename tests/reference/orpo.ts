/**
 * ORPO's loss over a list of entries, TRL's numbers: loss = nll - beta · mean_i logsigmoid(log odds ratio_i), where
 * nll is a token mean over the chosen sequences of a micro-batch and the odds use length-averaged log-probabilities.
 */
import type { Target } from './head';

export interface LossEntry extends Target {
  pair: number;
  role: 'chosen' | 'rejected';
  /** Counts in the micro-batch's NLL (chosen only). */
  nll: boolean;
  /** Counts in the length-averaged log-probability of its answer. */
  answer: boolean;
}

export interface OrpoOptions {
  beta: number;
  /** Micro-batch of every pair, 0-based; several micro-batches may share one packed pass. */
  microOfPair: readonly number[];
  /** Micro-batches in the whole accumulation group (G): every weight is divided by it. */
  groupSize: number;
}

/** TRL's metric names. */
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
}

export interface OrpoResult {
  /** Σ over the micro-batches given of loss / groupSize. */
  loss: number;
  micro: { loss: number; metrics: OrpoMetrics }[];
  /** -dLoss/dlogp of every entry, 1/groupSize included. */
  weights: Float64Array;
}

/** Length-averaged log-probabilities are held at or below this, so that 1 - exp(l) stays above 0. */
export const LOGP_CEILING = -1e-6;

export const log1mexp = (x: number) => (x < -Math.LN2 ? Math.log1p(-Math.exp(x)) : Math.log(-Math.expm1(x)));
export const logSigmoid = (x: number) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x: number) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

interface PairTerms {
  micro: number;
  length: { chosen: number; rejected: number };
  logp: { chosen: number; rejected: number };
  logOdds: number;
}

export function orpo(entries: readonly LossEntry[], logps: Float64Array, options: OrpoOptions): OrpoResult {
  const { beta, microOfPair, groupSize } = options;
  const microCount = Math.max(...microOfPair) + 1;

  const nllSum = new Float64Array(microCount);
  const nllCount = new Float64Array(microCount);
  const pairs: PairTerms[] = microOfPair.map((micro) => ({
    micro,
    length: { chosen: 0, rejected: 0 },
    logp: { chosen: 0, rejected: 0 },
    logOdds: 0,
  }));
  entries.forEach((entry, i) => {
    const pair = pairs[entry.pair];
    if (entry.nll) {
      nllSum[pair.micro] -= logps[i];
      nllCount[pair.micro] += 1;
    }
    if (entry.answer) {
      pair.length[entry.role] += 1;
      pair.logp[entry.role] += logps[i];
    }
  });
  for (const pair of pairs) {
    pair.logp.chosen /= pair.length.chosen;
    pair.logp.rejected /= pair.length.rejected;
    const chosen = Math.min(pair.logp.chosen, LOGP_CEILING);
    const rejected = Math.min(pair.logp.rejected, LOGP_CEILING);
    pair.logOdds = chosen - rejected - (log1mexp(chosen) - log1mexp(rejected));
  }

  const micro: OrpoResult['micro'] = [];
  for (let j = 0; j < microCount; j++) {
    const own = pairs.filter((pair) => pair.micro === j);
    const nll = nllSum[j] / nllCount[j];
    const chosen = own.map((pair) => pair.logp.chosen);
    const rejected = own.map((pair) => pair.logp.rejected);
    const ratio = mean(own.map((pair) => logSigmoid(pair.logOdds)));
    const metrics: OrpoMetrics = {
      nll_loss: nll,
      'rewards/chosen': beta * mean(chosen),
      'rewards/rejected': beta * mean(rejected),
      'rewards/accuracies': mean(own.map((_, i) => (beta * chosen[i] > beta * rejected[i] ? 1 : 0))),
      'rewards/margins': mean(own.map((_, i) => beta * (chosen[i] - rejected[i]))),
      'logps/chosen': mean(chosen),
      'logps/rejected': mean(rejected),
      log_odds_ratio: ratio,
      log_odds_chosen: mean(own.map((pair) => pair.logOdds)),
    };
    micro.push({ loss: nll - beta * ratio, metrics });
  }

  // w = a/N + m·k/L with k = ±(beta/B) σ(-logOdds) / (1 - exp(l)).
  const weights = new Float64Array(entries.length);
  entries.forEach((entry, i) => {
    const pair = pairs[entry.pair];
    let w = 0;
    if (entry.nll) w += 1 / nllCount[pair.micro];
    if (entry.answer) {
      const pairsInMicro = pairs.filter((other) => other.micro === pair.micro).length;
      const logp = Math.min(pair.logp[entry.role], LOGP_CEILING);
      const k = ((beta / pairsInMicro) * sigmoid(-pair.logOdds)) / -Math.expm1(logp);
      w += ((entry.role === 'chosen' ? 1 : -1) * k) / pair.length[entry.role];
    }
    weights[i] = w / groupSize;
  });
  const loss = micro.reduce((sum, m) => sum + m.loss, 0) / groupSize;
  return { loss, micro, weights };
}
