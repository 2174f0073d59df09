/** Tokenised pairs as the rows that are handed over: the tokens for the TRL script, the text for everything else. */
import type { PreferenceRow, TokenizedPair } from '../../data/types';

interface Decoder {
  decode(ids: readonly number[]): string;
  bosTokenId: number | null;
  eosTokenId: number | null;
}

/** The text of a pair, without the first start and the last end token, which every trainer adds itself. */
export function pairText(pair: TokenizedPair, tokenizer: Decoder): PreferenceRow {
  const side = (answer: 'chosen' | 'rejected') => {
    const ids = pair[`${answer}_input_ids`];
    const labels = pair[`${answer}_labels`];
    const first = labels.findIndex((label) => label !== -100);
    const [prompt, rest] = [ids.slice(0, first), ids.slice(first)];
    if (prompt[0] === tokenizer.bosTokenId) prompt.shift();
    if (rest.at(-1) === tokenizer.eosTokenId) rest.pop();
    return { prompt, text: tokenizer.decode(rest) };
  };
  const [chosen, rejected] = [side('chosen'), side('rejected')];
  return { prompt: tokenizer.decode(chosen.prompt), chosen: chosen.text, rejected: rejected.text };
}

/** A row of train.jsonl. */
export const handOverRow = (pair: TokenizedPair, tokenizer: Decoder): string =>
  `${JSON.stringify({ ...pairText(pair, tokenizer), ...pair })}\n`;
