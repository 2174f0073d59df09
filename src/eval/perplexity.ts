/**
 * Perplexity of a text before and after training: what fine-tuning made the model forget shows here first. The text is
 * read in windows that overlap; a token is scored once, in the first window that holds it, and so has at least half a
 * window before it, but for those of the first. Token-weighted: exp of the mean over all tokens.
 */
import type { Tokenizer } from '../data/tokenizer';
import type { ScoredSequence } from '../inference/packing';
import type { AdapterSource } from '../inference/session';
import type { LoadedModel } from '../model/session';
import type { EvalControl } from './control';
import { prefixToken } from './encode';
import { EvaluationError } from './errors';
import { scoreSets } from './score';

export interface PerplexityNumbers {
  perplexity: number;
  /** exp of the mean over UTF-8 bytes, which models with different tokenizers share. */
  bytePerplexity: number;
  bitsPerByte: number;
  /** Sum of log-probabilities, in nats. */
  logprob: number;
}

export interface Perplexity {
  name: string;
  tokens: number;
  bytes: number;
  windows: number;
  base: PerplexityNumbers;
  tuned: PerplexityNumbers | null;
}

export interface PerplexityOptions {
  name: string;
  /** Tokens of a window; 1,024 or what the model reads when absent. */
  window?: number;
  /** Tokens from one window's beginning to the next's; half a window when absent. */
  stride?: number;
  control?: EvalControl;
  onProgress?(done: number): void;
}

export const DEFAULT_WINDOW = 1024;
/** Texts longer than this many characters are cut there. */
export const MOST_CHARACTERS = 1_000_000;

/** Windows over a text's ids, which begin with the prefix token; together they score every token after it once. */
export function windowsOf(ids: readonly number[], window: number, stride: number): ScoredSequence[] {
  const out: ScoredSequence[] = [];
  let scored = 1;
  for (let start = 0; scored < ids.length; start += stride) {
    // The last token of a window is only predicted, so a window of inputs scores one more.
    const end = Math.min(ids.length, start + window + 1);
    if (end > scored) out.push({ ids: ids.slice(start, end), scoredFrom: scored - start });
    scored = end;
  }
  return out;
}

function numbers(logprob: number, tokens: number, bytes: number): PerplexityNumbers {
  const perByte = -logprob / bytes;
  return {
    perplexity: Math.exp(-logprob / tokens),
    bytePerplexity: Math.exp(perByte),
    bitsPerByte: perByte / Math.LN2,
    logprob,
  };
}

/** @throws EvaluationError `no-text`, `bad-setting`, `cancelled` */
export async function textPerplexity(
  model: LoadedModel,
  adapter: AdapterSource | null,
  tokenizer: Pick<Tokenizer, 'encode' | 'bosTokenId' | 'eosTokenId'>,
  text: string,
  options: PerplexityOptions,
): Promise<Perplexity> {
  const { name, control } = options;
  const window = Math.min(options.window ?? DEFAULT_WINDOW, model.config.maxPositions);
  const stride = options.stride ?? Math.max(1, Math.floor(window / 2));
  if (!(Number.isInteger(stride) && stride >= 1 && stride <= window)) {
    throw new EvaluationError('bad-setting', `The stride must be a whole number from 1 to the window, ${window}.`);
  }
  const used = text.slice(0, MOST_CHARACTERS);
  // In one go: encoded in pieces, a text has other tokens at their borders.
  const ids = [prefixToken(tokenizer), ...tokenizer.encode(used)];
  if (ids.length < 2) throw new EvaluationError('no-text', `${name} holds no text. Choose a plain-text file.`);
  const windows = windowsOf(ids, window, stride);
  const sets = windows.map((sequence) => [sequence]);
  const sides = adapter ? [false, true] : [false];
  const scores = await scoreSets(model, adapter, sets, {
    sides,
    control,
    onProgress: ({ tokens, totalTokens }) => options.onProgress?.(tokens / totalTokens),
  });
  const tokens = ids.length - 1;
  const bytes = new TextEncoder().encode(used).length;
  const [base, tuned = null] = scores.map((side) =>
    numbers(
      side.flat().reduce((sum, { logprob }) => sum + logprob, 0),
      tokens,
      bytes,
    ),
  );
  return { name, tokens, bytes, windows: windows.length, base, tuned };
}
