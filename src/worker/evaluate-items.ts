/** Items of a finished task for a list: filtered, searched, a page at a time. */
import type { ItemResult, TaskResult } from '../eval/evaluate';
import type { MetricName } from '../eval/items';
import type { EvaluateRequests, ItemFilter, ItemSideView, ItemsPage, ItemView } from './protocol-evaluate';

const rightOn = ({ sides }: ItemResult, side: number, metric: MetricName): boolean =>
  (sides[side]?.values[metric] ?? 0) >= 0.5;

function passes(result: ItemResult, filter: ItemFilter, metric: MetricName): boolean {
  if (filter === 'all') return true;
  if (result.sides.length < 2) return false;
  const [base, tuned] = [rightOn(result, 0, metric), rightOn(result, 1, metric)];
  if (filter === 'won') return !base && tuned;
  if (filter === 'lost') return base && !tuned;
  return base !== tuned;
}

function viewOf(result: ItemResult, metric: MetricName): ItemView {
  const { item, sides } = result;
  const choices =
    item.kind === 'choice'
      ? item.choices.map((choice, i) =>
          choice.context === item.choices[0].context ? choice.continuation.trim() : `${i + 1}: ${choice.context}`,
        )
      : item.kind === 'pair'
        ? ['chosen', 'rejected']
        : [];
  return {
    line: item.line,
    title: item.title,
    choices,
    gold: item.kind === 'choice' ? item.gold : 0,
    target: item.kind === 'answer' ? item.target : null,
    sides: sides.map(
      ({ scores, answer = null }, side): ItemSideView => ({
        right: rightOn(result, side, metric),
        scores: scores.map(({ logprob, tokens }) => (metric === 'acc_mean' ? logprob / Math.max(1, tokens) : logprob)),
        answer,
      }),
    ),
  };
}

export function itemsPage(
  task: TaskResult,
  { metric, filter, query, from, count }: EvaluateRequests['evaluatedItems']['args'],
): ItemsPage {
  const wanted = query.trim().toLowerCase();
  const found = task.items.filter(
    (result) => passes(result, filter, metric) && (!wanted || result.item.title.toLowerCase().includes(wanted)),
  );
  return { total: found.length, items: found.slice(from, from + count).map((result) => viewOf(result, metric)) };
}
