/** Preference pairs as a task: is the chosen answer more likely than the rejected one? */
import type { SourceRow, TokenizedPair } from '../../data/types';
import { type EvalTask, metricsOf, type PairItem, type TaskProblem } from '../items';

/** The first answer token of a sequence, which needs a token before it. */
const answerStart = (labels: readonly number[]): number => {
  const at = labels.findIndex((label) => label !== -100);
  return Math.max(1, at < 0 ? labels.length : at);
};

/**
 * @param sources for each pair the index of its row
 * @param problems rows that gave no pair
 */
export function pairTask(
  name: string,
  rows: readonly Pick<SourceRow, 'prompt' | 'line'>[],
  pairs: readonly TokenizedPair[],
  sources: readonly number[],
  problems: readonly TaskProblem[] = [],
): EvalTask {
  const items = pairs.map((pair, i): PairItem => {
    const { prompt, line } = rows[sources[i]];
    return {
      kind: 'pair',
      line,
      title: prompt,
      chosen: { ids: pair.chosen_input_ids, scoredFrom: answerStart(pair.chosen_labels) },
      rejected: { ids: pair.rejected_input_ids, scoredFrom: answerStart(pair.rejected_labels) },
    };
  });
  return {
    name,
    format: 'preference pairs',
    items,
    description: '',
    metrics: metricsOf(items),
    problems: [...problems],
  };
}
