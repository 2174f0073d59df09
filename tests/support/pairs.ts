/** Tokenised pairs as tests write them. */
import type { TokenizedPair } from '../../src/data/types';

/** A pair from its tokens; the first `prompt` of both are no answer. */
export function pairOf(prompt: number, chosen: number[], rejected: number[]): TokenizedPair {
  const labels = (ids: number[]) => ids.map((id, t) => (t < prompt ? -100 : id));
  return {
    chosen_input_ids: chosen,
    chosen_labels: labels(chosen),
    rejected_input_ids: rejected,
    rejected_labels: labels(rejected),
  };
}
