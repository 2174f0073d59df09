/** Items as tokens, the way lm-evaluation-harness makes them. */
import type { Tokenizer } from '../data/tokenizer';
import type { ScoredSequence } from '../inference/packing';
import { EvaluationError } from './errors';
import type { Choice, ChoiceItem, PairItem } from './items';

export type EvalTokenizer = Pick<Tokenizer, 'encode' | 'bosTokenId' | 'eosTokenId'>;

export interface EncodedItem {
  /** One for each choice; of a pair chosen and rejected. */
  sequences: ScoredSequence[];
  /** UTF-8 bytes of each continuation, which acc_norm divides by; tokens scored of a pair's answers. */
  lengths: number[];
  /** Sequences that were cut on the left. */
  cut: number;
}

const bytesOf = (text: string) => new TextEncoder().encode(text).length;

/** What stands before a text without context: the begin-of-sequence token, else the end-of-sequence token. */
export function prefixToken({ bosTokenId, eosTokenId }: EvalTokenizer): number {
  const id = bosTokenId ?? eosTokenId;
  if (id === null)
    throw new EvaluationError('bad-setting', 'This tokenizer has no token to begin a text without context with.');
  return id;
}

/** Ids with the begin-of-sequence token before them, where the tokenizer has one; with `needed` some token in any case. */
export function begun(tokenizer: EvalTokenizer, ids: readonly number[], needed = ids.length === 0): number[] {
  const { bosTokenId: bos } = tokenizer;
  if (bos !== null) return ids[0] === bos ? [...ids] : [bos, ...ids];
  return needed ? [prefixToken(tokenizer), ...ids] : [...ids];
}

/** Keeps the last `maxLength` inputs; the last token is only predicted, so one more fits. */
export function cutLeft({ ids, scoredFrom }: ScoredSequence, maxLength: number): ScoredSequence {
  const over = Math.max(0, ids.length - (maxLength + 1));
  return { ids: ids.slice(over), scoredFrom: Math.max(1, scoredFrom - over) };
}

/** Encodes each text once. */
export class ItemEncoder {
  readonly #tokenizer: EvalTokenizer;
  readonly #maxLength: number;
  readonly #contexts = new Map<string, number[]>();

  /** @param maxLength tokens that the model reads at once */
  constructor(tokenizer: EvalTokenizer, maxLength: number) {
    this.#tokenizer = tokenizer;
    this.#maxLength = maxLength;
  }

  choices(item: ChoiceItem): EncodedItem {
    this.#contexts.clear();
    return this.#cut(
      item.choices.map((choice) => this.#choice(choice)),
      item.choices.map(({ continuation }) => bytesOf(continuation)),
    );
  }

  pair({ chosen, rejected }: PairItem): EncodedItem {
    const both = [chosen, rejected];
    return this.#cut(
      both,
      both.map(({ ids, scoredFrom }) => ids.length - scoredFrom),
    );
  }

  /**
   * lm-evaluation-harness' _encode_pair: context + continuation are encoded together, and what lies beyond the length of
   * the context's own encoding is the continuation. Blanks at the context's end belong to the continuation.
   */
  #choice({ context, continuation }: Choice): ScoredSequence {
    const { encode } = this.#tokenizer;
    const kept = context.trimEnd();
    let own = this.#contexts.get(kept);
    if (!own) {
      own = encode(kept);
      this.#contexts.set(kept, own);
    }
    const whole = encode(context + continuation);
    const ids = begun(this.#tokenizer, [...own, ...whole.slice(own.length)], own.length === 0);
    return { ids, scoredFrom: Math.max(1, ids.length - (whole.length - own.length)) };
  }

  #cut(sequences: ScoredSequence[], lengths: number[]): EncodedItem {
    const limited = sequences.map((sequence) => cutLeft(sequence, this.#maxLength));
    const cut = limited.filter(({ ids }, i) => ids.length < sequences[i].ids.length).length;
    return { sequences: limited, lengths, cut };
  }
}
