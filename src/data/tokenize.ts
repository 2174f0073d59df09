/**
 * From a text row to a tokenised pair, as TRL's `ORPOTrainer.tokenize_row` does it (spec 2.2 to 2.5).
 */
import type { HParams, TokenIdSetting } from '../train/hparams';
import { RowError } from './errors';
import type { Tokenizer } from './tokenizer';
import { type Cut, isCut, keptAnswer, keptPrompt, type Side, type TruncationSettings, truncatePair } from './truncate';
import type { PreferenceRow, TokenizedPair } from './types';

export { RowError };

export interface TokenIds {
  /** Put before every prompt that does not begin with it; null: never. */
  bos: number | null;
  /** Put after every answer that does not end with it; null: never. */
  eos: number | null;
  /** Only layouts with padding use it. */
  pad: number;
}

/** What tokenising needs of a tokenizer. `independentPrefix` only saves time. */
export type Encoder = Pick<Tokenizer, 'encode'> & Partial<Pick<Tokenizer, 'independentPrefix'>>;

/** The ids a run uses. Without a pad token EOS (or 0) takes its place, which is masked wherever it could matter. */
export function resolveTokenIds(
  hparams: Pick<HParams, 'bos_token_id' | 'eos_token_id' | 'pad_token_id'>,
  tokenizer: Pick<Tokenizer, 'bosTokenId' | 'eosTokenId' | 'padTokenId'> | null,
): TokenIds {
  const pick = (setting: TokenIdSetting, own: number | null | undefined) =>
    setting === 'tokenizer' ? (own ?? null) : setting;
  const bos = pick(hparams.bos_token_id, tokenizer?.bosTokenId);
  const eos = pick(hparams.eos_token_id, tokenizer?.eosTokenId);
  return { bos, eos, pad: pick(hparams.pad_token_id, tokenizer?.padTokenId) ?? eos ?? 0 };
}

/** A row's two sequences before and after cutting. */
export interface RowLayout {
  /** Chosen, then rejected. */
  sides: [Side, Side];
  cuts: [Cut, Cut];
  truncated: boolean;
}

/** The ids of a prompt alone, to be continued; as `layoutRow` begins a sequence. */
export function promptIds(encoder: Encoder, prompt: string, bos: number | null): number[] {
  const ids = encoder.encode(prompt);
  return bos !== null && ids[0] !== bos ? [bos, ...ids] : ids;
}

/** The answer's ids are those of prompt + answer beyond the prompt's; one merged token at the border goes back. */
function splitAnswer(prompt: readonly number[], full: readonly number[]): { prompt: number[]; answer: number[] } {
  let start = prompt.length;
  for (let i = 0; i < prompt.length; i++) {
    if (full[i] !== prompt[i]) {
      start -= 1;
      break;
    }
  }
  return { prompt: full.slice(0, start), answer: full.slice(start) };
}

function checkSamePrompt(a: readonly number[], b: readonly number[]): void {
  const shorter = Math.min(a.length, b.length);
  let different = 0;
  for (let i = 0; i < shorter; i++) if (a[i] !== b[i]) different += 1;
  if (different > 1 || Math.abs(a.length - b.length) > 1) {
    throw new RowError(
      'prompt-mismatch',
      'The prompt turns into different tokens before the chosen and before the rejected answer. End the prompt with a line break or a space, or use a chat template.',
    );
  }
}

/** Encodes a row and decides what is cut. Throws `RowError` with `prompt-mismatch`. */
export function layoutRow(
  encoder: Encoder,
  row: PreferenceRow,
  settings: TruncationSettings,
  ids: Pick<TokenIds, 'bos' | 'eos'>,
): RowLayout {
  const fixed = encoder.independentPrefix?.(row.prompt) ?? 0;
  const head = encoder.encode(row.prompt.slice(0, fixed));
  const tail = row.prompt.slice(fixed);
  const encode = (text: string) => (fixed === 0 ? encoder.encode(text) : [...head, ...encoder.encode(text)]);
  const promptIds = encode(tail);
  const parts = [row.chosen, row.rejected].map((answer) => splitAnswer(promptIds, encode(tail + answer)));
  checkSamePrompt(parts[0].prompt, parts[1].prompt);
  for (const { prompt, answer } of parts) {
    if (ids.bos !== null && prompt[0] !== ids.bos) prompt.unshift(ids.bos);
    if (ids.eos !== null && answer.at(-1) !== ids.eos) answer.push(ids.eos);
  }
  const sides: [Side, Side] = [parts[0], parts[1]];
  const cuts = truncatePair(sides, settings, ids);
  return { sides, cuts, truncated: isCut(sides[0], cuts[0]) || isCut(sides[1], cuts[1]) };
}

/** Throws `RowError` with `no-answer-tokens` when nothing of an answer would be trained. */
export function checkAnswers(layout: RowLayout, settings: TruncationSettings, ids: Pick<TokenIds, 'eos'>): void {
  layout.sides.forEach((side, i) => {
    const cut = layout.cuts[i];
    const kept = cut.answerEnd + cut.answerTail;
    const promptKept = keptPrompt(side, cut).length;
    // The first token of a sequence is never a target, so an answer alone in it needs two.
    let trained = promptKept === 0 ? kept - 1 : kept;
    // An answer cut down to its end mark teaches only to say nothing.
    if (settings.truncation === 'sane' && kept < side.answer.length && kept === cut.answerTail) trained = 0;
    if (settings.truncation === 'sane' && ids.eos !== null && side.answer.length === 1 && side.answer[0] === ids.eos)
      trained = 0;
    if (trained > 0) return;
    const which = i === 0 ? 'chosen' : 'rejected';
    throw new RowError(
      'no-answer-tokens',
      side.answer.length <= 1
        ? `The ${which} answer has no tokens.`
        : `No token of the ${which} answer is left within max_length ${settings.max_length} (prompt ${side.prompt.length} tokens, answer ${side.answer.length}). Raise max_length or lower max_prompt_length.`,
    );
  });
}

export function pairOf(layout: RowLayout): TokenizedPair {
  const [chosen, rejected] = layout.sides.map((side, i) => {
    const prompt = keptPrompt(side, layout.cuts[i]);
    const answer = keptAnswer(side, layout.cuts[i]);
    return { ids: [...prompt, ...answer], labels: [...prompt.map(() => -100), ...answer] };
  });
  return {
    chosen_input_ids: chosen.ids,
    chosen_labels: chosen.labels,
    rejected_input_ids: rejected.ids,
    rejected_labels: rejected.labels,
  };
}

/**
 * One row, tokenised and cut.
 *
 * @throws RowError `no-answer-tokens` when an answer is empty after cutting, `prompt-mismatch` when the prompt's tokens
 *   depend on the answer by more than one token.
 */
export function tokenizeRow(
  encoder: Encoder,
  row: PreferenceRow,
  hparams: TruncationSettings,
  bos: number | null,
  eos: number | null,
): { pair: TokenizedPair; truncated: boolean } {
  const layout = layoutRow(encoder, row, hparams, { bos, eos });
  checkAnswers(layout, hparams, { eos });
  return { pair: pairOf(layout), truncated: layout.truncated };
}
