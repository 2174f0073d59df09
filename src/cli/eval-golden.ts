/** An evaluation beside one that transformers made of the same items: every text, token count and log-probability. */
import { readFileSync } from 'node:fs';
import type { TaskResult } from '../eval/evaluate';
import { argmax } from '../eval/metrics';

interface GoldenItem {
  contexts: string[];
  continuations: string[];
  gold: number;
  logprob: number[];
  tokens: number[];
}

export interface GoldenReport {
  items: number;
  /** Items whose contexts, continuations, right choice or token counts differ. */
  different: number;
  /** Largest distance of a log-probability, in nats. */
  worst: number;
  /** Items on whose choice the two disagree, by sum and by sum per byte. */
  acc: number;
  acc_norm: number;
}

export const LOGPROB_LIMIT = 1e-3;
/** The recorded runs kept the last 500 tokens of a sequence, of which the last one is only predicted. */
export const GOLDEN_MAX_LENGTH = 499;

export const passes = ({ different, worst, acc, acc_norm }: GoldenReport): boolean =>
  different === 0 && worst <= LOGPROB_LIMIT && acc === 0 && acc_norm === 0;

/** Compares as many items as were evaluated. */
export function compareGolden(result: TaskResult, path: string): GoldenReport {
  const recorded = JSON.parse(readFileSync(path, 'utf8')) as GoldenItem[];
  if (recorded.length < result.items.length) {
    throw new RangeError(`${path} has ${recorded.length} items; limit the task to as many.`);
  }
  const report: GoldenReport = { items: result.items.length, different: 0, worst: 0, acc: 0, acc_norm: 0 };
  for (const [i, { item, sides }] of result.items.entries()) {
    const golden = recorded[i];
    if (item.kind !== 'choice') throw new RangeError(`${path}: item ${i + 1} is no multiple choice.`);
    const { scores, values } = sides[0];
    const same =
      item.gold === golden.gold &&
      String(item.choices.map((c) => c.context)) === String(golden.contexts) &&
      String(item.choices.map((c) => c.continuation)) === String(golden.continuations) &&
      String(scores.map((s) => s.tokens)) === String(golden.tokens);
    if (!same) report.different++;
    golden.logprob.forEach((logprob, c) => {
      report.worst = Math.max(report.worst, Math.abs(logprob - scores[c].logprob));
    });
    const bytes = golden.continuations.map((text) => new TextEncoder().encode(text).length);
    const right = Number(argmax(golden.logprob) === golden.gold);
    const rightNorm = Number(argmax(golden.logprob.map((l, c) => l / bytes[c])) === golden.gold);
    if (values.acc !== right) report.acc++;
    if (values.acc_norm !== rightNorm) report.acc_norm++;
  }
  return report;
}
