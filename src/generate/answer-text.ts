/** Generated ids as text, without the marks that end an answer. */
import type { Tokenizer } from '../data/tokenizer';

export const answerText = (
  tokenizer: Pick<Tokenizer, 'decode'>,
  ids: readonly number[],
  stopIds: readonly number[],
): string => tokenizer.decode(ids.filter((id) => !stopIds.includes(id)));
