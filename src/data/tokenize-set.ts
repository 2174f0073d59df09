/** Tokenising a whole set, in slices, so that the thread stays answerable and the work can be cancelled. */
import { DataError, RowError } from './errors';
import type { RowLength } from './lengths';
import { type RenderSettings, renderRow, type TemplateTokenizer } from './render';
import { checkAnswers, type Encoder, layoutRow, pairOf, type TokenIds } from './tokenize';
import type { TruncationSettings } from './truncate';
import type { PreferenceRow, RowProblem, SourceRow, TokenizedPair } from './types';

export interface TokenizedSet {
  pairs: TokenizedPair[];
  /** Index among the rows given, for each pair. */
  sources: number[];
  /** For every row that could be laid out, dropped ones included. */
  lengths: RowLength[];
  truncated: number;
  /** Rows left out, with their lines. */
  problems: RowProblem[];
  /** Tokens of both sequences of all pairs. */
  tokens: number;
}

export interface TokenizeSetOptions {
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
  /** How the rows become text; absent when they already are. */
  render?: { settings: RenderSettings; tokenizer: TemplateTokenizer | null };
}

/** Milliseconds of work between two breaths. */
const SLICE_MS = 25;

/** Lets messages and timers through. */
function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

type Row = PreferenceRow & Partial<Pick<SourceRow, 'line' | 'form'>>;

/**
 * All rows as token pairs; rows that cannot be used are named and left out.
 *
 * @throws DataError `cancelled`
 */
export async function tokenizeSet(
  tokenizer: Encoder,
  rows: readonly Row[],
  settings: TruncationSettings,
  ids: Pick<TokenIds, 'bos' | 'eos'>,
  options: TokenizeSetOptions = {},
): Promise<TokenizedSet> {
  const set: TokenizedSet = { pairs: [], sources: [], lengths: [], truncated: 0, problems: [], tokens: 0 };
  const take = (row: Row, index: number) => {
    const { render } = options;
    const text = render ? renderRow(row as SourceRow, render.settings, render.tokenizer) : row;
    const layout = layoutRow(tokenizer, text, settings, ids);
    const tokens = Math.max(...layout.sides.map(({ prompt, answer }) => prompt.length + answer.length));
    try {
      checkAnswers(layout, settings, ids);
    } catch (error) {
      set.lengths.push({ tokens, fate: 'dropped' });
      throw error;
    }
    set.lengths.push({ tokens, fate: layout.truncated ? 'cut' : 'fits' });
    if (layout.truncated) set.truncated += 1;
    const pair = pairOf(layout);
    set.tokens += pair.chosen_input_ids.length + pair.rejected_input_ids.length;
    set.pairs.push(pair);
    set.sources.push(index);
  };
  let began = performance.now();
  for (let i = 0; i < rows.length; i++) {
    try {
      take(rows[i], i);
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      set.problems.push({ line: rows[i].line ?? i + 1, reason: error.reason, message: error.message });
    }
    if (performance.now() - began < SLICE_MS) continue;
    options.onProgress?.(i + 1, rows.length);
    await breathe();
    if (options.signal?.aborted) throw new DataError('cancelled', 'Tokenising was cancelled.');
    began = performance.now();
  }
  options.onProgress?.(rows.length, rows.length);
  return set;
}
