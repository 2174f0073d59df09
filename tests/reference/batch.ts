/** A packed batch from tokenised pairs: tokens laid end to end, attention layout, and the list of loss entries. */
import type { TokenizedPair } from '../../src/data/types';
import { type PackedLayout, positionsOf } from './attention';
import type { LossEntry } from './orpo';

export interface PackedBatch {
  tokens: number[];
  layout: PackedLayout;
  /** [tokens] */
  positions: Int32Array;
  entries: LossEntry[];
  /** Micro-batch of every pair. */
  microOfPair: number[];
}

export interface PackOptions {
  /** One common prefix per pair (default), or two whole sequences. */
  sharePrefix?: boolean;
  /** Whether the NLL covers the prompt, as TRL's does (default). */
  nllOnPrompt?: boolean;
}

function commonPrefixLength(a: number[], b: number[]): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}

/** `micros`: the pairs of every micro-batch. */
export function packPairs(micros: TokenizedPair[][], options: PackOptions = {}): PackedBatch {
  const { sharePrefix = true, nllOnPrompt = true } = options;
  const batch = { tokens: [] as number[], entries: [] as LossEntry[], microOfPair: [] as number[] };
  const layout: PackedLayout = { runs: [] };

  const addRun = (ids: number[], prefixStart: number, prefixEnd: number): number => {
    const start = batch.tokens.length;
    batch.tokens.push(...ids);
    if (ids.length > 0) layout.runs.push({ start, end: batch.tokens.length, prefixStart, prefixEnd });
    return start;
  };

  micros.forEach((pairs, micro) => {
    for (const pair of pairs) {
      const pairIndex = batch.microOfPair.push(micro) - 1;
      const shared = sharePrefix ? commonPrefixLength(pair.chosen_input_ids, pair.rejected_input_ids) : 0;
      const prefixStart = addRun(pair.chosen_input_ids.slice(0, shared), batch.tokens.length, batch.tokens.length);
      for (const role of ['chosen', 'rejected'] as const) {
        const ids = pair[`${role}_input_ids`];
        const labels = pair[`${role}_labels`];
        const ownStart = addRun(ids.slice(shared), prefixStart, prefixStart + shared);
        for (let t = 1; t < ids.length; t++) {
          const answer = labels[t] !== -100;
          const nll = role === 'chosen' && (nllOnPrompt || answer);
          if (!answer && !nll) continue;
          const row = t - 1 < shared ? prefixStart + t - 1 : ownStart + t - 1 - shared;
          batch.entries.push({ row, target: ids[t], pair: pairIndex, role, nll, answer });
        }
      }
    }
  });
  return { ...batch, layout, positions: positionsOf(layout, batch.tokens.length) };
}
