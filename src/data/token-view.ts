/** What becomes of a row, token by token: what is trained, on what, and what is cut off. */
import type { HParams } from '../train/hparams';
import { RowError } from './errors';
import { checkAnswers, layoutRow, pairOf, type RowLayout, type TokenIds } from './tokenize';
import type { Tokenizer } from './tokenizer';
import { type Cut, type Side, type TruncationSettings, tokenKept } from './truncate';
import type { PreferenceRow, RowProblem } from './types';

/**
 * One word for a token's colour; the flags of `ViewToken` say the whole. `odds`: an answer token, in the odds ratio.
 * `nll`: a prompt token trained by the NLL alone. `shared`: a prompt token that both sequences begin with, computed once
 * and not trained here. `special`: a control token, trained or not. `cut`: not there.
 */
export type TokenRole = 'prompt' | 'nll' | 'odds' | 'shared' | 'cut' | 'special';

export interface ViewToken {
  id: number;
  /** Text as people read it. A character made of several tokens is with the first; the others have "". */
  text: string;
  role: TokenRole;
  /** A target of the negative log-likelihood (chosen only). */
  nll: boolean;
  /** A target of the odds ratio. */
  odds: boolean;
  /** Part of what both sequences begin with. */
  shared: boolean;
  special: boolean;
}

export interface SideView {
  tokens: ViewToken[];
  /** Tokens before and after cutting. */
  total: number;
  kept: number;
  nllTokens: number;
  oddsTokens: number;
  /** Put in front or behind because the text did not have it. */
  bosAdded: boolean;
  eosAdded: boolean;
  /** False when the sequence, as trained, does not end in EOS; null when the run uses none. */
  endsWithEos: boolean | null;
}

export interface RowView {
  chosen: SideView;
  rejected: SideView;
  /** Tokens that both sequences begin with, after cutting. */
  sharedTokens: number;
  truncated: boolean;
  /** Why the row would be left out, or null. */
  problem: Pick<RowProblem, 'reason' | 'message'> | null;
}

export type ViewSettings = TruncationSettings & Pick<HParams, 'nll_on_prompt'>;

type ViewTokenizer = Pick<Tokenizer, 'encode' | 'decode' | 'tokenText' | 'isSpecial'>;

/** Tokens that may together make one character. */
const MAX_PIECES = 8;

/** Text of each token. Tokens that make a character only together give it to the first of them. */
export function tokenTexts(tokenizer: Pick<Tokenizer, 'decode' | 'tokenText'>, ids: readonly number[]): string[] {
  const texts: string[] = [];
  for (let i = 0; i < ids.length; ) {
    let count = 1;
    let text = tokenizer.decode(ids.slice(i, i + 1));
    while (text.includes('\ufffd') && count < MAX_PIECES && i + count < ids.length) {
      const longer = tokenizer.decode(ids.slice(i, i + count + 1));
      count += 1;
      if (longer.includes('\ufffd')) continue;
      text = longer;
      break;
    }
    // A character that never becomes whole stays in single pieces.
    if (text.includes('\ufffd')) count = 1;
    // SentencePiece drops a space in front of a whole text, which a single token is not.
    if (tokenizer.tokenText(ids[i]).startsWith('\u2581') && !text.startsWith(' ')) text = ` ${text}`;
    texts.push(text, ...Array<string>(count - 1).fill(''));
    i += count;
  }
  return texts;
}

function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n += 1;
  return n;
}

function roleOf(token: Omit<ViewToken, 'role'>, kept: boolean): TokenRole {
  if (!kept) return 'cut';
  if (token.special) return 'special';
  if (token.odds) return 'odds';
  if (token.nll) return 'nll';
  return token.shared ? 'shared' : 'prompt';
}

interface SideContext {
  chosen: boolean;
  shared: number;
  settings: ViewSettings;
  ids: Pick<TokenIds, 'bos' | 'eos'>;
  /** Text ids without what was put in front and behind. */
  textStart: number | undefined;
  textEnd: number | undefined;
}

function viewSide(tokenizer: ViewTokenizer, side: Side, cut: Cut, context: SideContext): SideView {
  const all = [...side.prompt, ...side.answer];
  const texts = tokenTexts(tokenizer, all);
  const tokens: ViewToken[] = [];
  let position = 0;
  let last: number | undefined;
  all.forEach((id, i) => {
    const kept = tokenKept(side, cut, i);
    const answer = i >= side.prompt.length;
    // The first token of a sequence is never predicted.
    const target = kept && position > 0;
    const token = {
      id,
      text: texts[i],
      nll: target && context.chosen && (answer || context.settings.nll_on_prompt),
      odds: target && answer,
      shared: kept && position < context.shared,
      special: tokenizer.isSpecial(id),
    };
    tokens.push({ ...token, role: roleOf(token, kept) });
    if (kept) {
      position += 1;
      last = id;
    }
  });
  const { bos, eos } = context.ids;
  return {
    tokens,
    total: all.length,
    kept: position,
    nllTokens: tokens.filter((token) => token.nll).length,
    oddsTokens: tokens.filter((token) => token.odds).length,
    bosAdded: bos !== null && all[0] === bos && context.textStart !== bos,
    eosAdded: eos !== null && all.at(-1) === eos && context.textEnd !== eos,
    endsWithEos: eos === null ? null : last === eos,
  };
}

/** Why a laid-out row would be left out, or null. */
export function layoutProblem(
  layout: RowLayout,
  settings: TruncationSettings,
  ids: Pick<TokenIds, 'eos'>,
): RowView['problem'] {
  try {
    checkAnswers(layout, settings, ids);
    return null;
  } catch (error) {
    if (error instanceof RowError) return { reason: error.reason, message: error.message };
    throw error;
  }
}

/** A row as tokens. Throws `RowError` `prompt-mismatch`, as tokenising does; other reasons are in `problem`. */
export function viewRow(
  tokenizer: ViewTokenizer,
  row: PreferenceRow,
  settings: ViewSettings,
  ids: Pick<TokenIds, 'bos' | 'eos'>,
): RowView {
  const layout = layoutRow(tokenizer, row, settings, ids);
  const pair = pairOf(layout);
  const shared = commonPrefix(pair.chosen_input_ids, pair.rejected_input_ids);
  const [chosen, rejected] = layout.sides.map((side, i) => {
    const text = tokenizer.encode(row.prompt + (i === 0 ? row.chosen : row.rejected));
    return viewSide(tokenizer, side, layout.cuts[i], {
      chosen: i === 0,
      shared,
      settings,
      ids,
      textStart: text[0],
      textEnd: text.at(-1),
    });
  });
  return {
    chosen,
    rejected,
    sharedTokens: shared,
    truncated: layout.truncated,
    problem: layoutProblem(layout, settings, ids),
  };
}
