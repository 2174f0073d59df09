/** What is lawful and still likely to be a mistake: doubled prompts, foreign marks, templates put on twice, EOS. */
import { hasTemplateMarks, type RenderSettings } from './render';
import type { TokenIds } from './tokenize';
import type { Tokenizer } from './tokenizer';
import type { PreferenceRow, SourceRow } from './types';

export type WarningCode =
  | 'prompt-in-answer'
  | 'template-twice'
  | 'foreign-marks'
  | 'special-tokens-in-text'
  | 'double-bos'
  | 'double-eos'
  | 'no-eos'
  | 'marks-not-tokens';

export interface DataWarning {
  code: WarningCode;
  /** What it means and what to do. */
  message: string;
  /** Rows concerned; the whole set where it is about the settings. */
  count: number;
  /** Lines of the first few rows. */
  lines: number[];
}

const MESSAGES: Record<WarningCode, string> = {
  'prompt-in-answer':
    'The chosen answer contains the prompt, which would then be trained twice. Map the columns anew, or cut the prompt from the answers.',
  'template-twice':
    'The text is already in a chat layout, and this prompt format would put another around it. Choose the format "as-is".',
  'foreign-marks':
    'The text holds marks of a chat layout that are not tokens of this model; they would be trained as plain letters.',
  'special-tokens-in-text': 'The text holds strings that are special tokens of this model; they will be read as such.',
  'double-bos': 'The text begins with BOS twice.',
  'double-eos':
    'After the end mark of the template comes more text, so a second EOS is added behind it (as TRL does with ChatML).',
  'no-eos': 'No EOS token is set, so the model is never taught to stop. Set eos_token_id.',
  'marks-not-tokens':
    'The marks of this prompt format are not tokens of this model; they would be trained as plain letters. Choose another format, or for ChatML open the model with its tokens.',
};

/** Prompts shorter than this turn up in answers by chance. */
const MIN_PROMPT = 12;

/** Lines named per warning. */
const MAX_LINES = 20;

class Warnings {
  readonly #found = new Map<WarningCode, DataWarning>();

  add(code: WarningCode, line: number): void {
    const known = this.#found.get(code);
    const warning = known ?? { code, message: MESSAGES[code], count: 0, lines: [] };
    warning.count += 1;
    if (warning.lines.length < MAX_LINES) warning.lines.push(line);
    if (!known) this.#found.set(code, warning);
  }

  get all(): DataWarning[] {
    return [...this.#found.values()];
  }
}

/** All text of a row that its file holds. */
function sourceTexts(row: SourceRow): string[] {
  if (!row.chat) return [row.prompt, row.chosen, row.rejected];
  const { prompt, chosen, rejected } = row.chat;
  return [...prompt, ...chosen, ...rejected].map((turn) => turn.content);
}

/** Marks such as <|im_start|> or [INST]. */
const MARK = /<\|[a-z_]{2,40}\|>|\[\/?INST\]|<<\/?SYS>>|<(?:start|end)_of_turn>/g;

/** Warnings about rows as their file holds them, for a prompt format and a model. */
export function sourceWarnings(
  rows: readonly SourceRow[],
  settings: RenderSettings,
  tokenizer: Pick<Tokenizer, 'specialTokens'> | null,
): DataWarning[] {
  const warnings = new Warnings();
  const own = new Set(tokenizer?.specialTokens ?? []);
  const plainOwn = [...own].filter((token) => token.length > 2);
  for (const row of rows) {
    const texts = sourceTexts(row);
    const last = row.chat ? (row.chat.prompt.at(-1)?.content ?? '') : row.prompt;
    const answer = row.chat ? row.chat.chosen.map((turn) => turn.content).join('\n') : row.chosen;
    const prompt = last.trim();
    if (prompt.length >= MIN_PROMPT && answer.includes(prompt)) warnings.add('prompt-in-answer', row.line);
    const marked = texts.some(hasTemplateMarks);
    if (marked && settings.format !== 'as-is') warnings.add('template-twice', row.line);
    const marks = texts.flatMap((text) => text.match(MARK) ?? []);
    if (tokenizer && marks.some((mark) => !own.has(mark))) warnings.add('foreign-marks', row.line);
    if (!marked && plainOwn.some((token) => texts.some((text) => text.includes(token)))) {
      warnings.add('special-tokens-in-text', row.line);
    }
  }
  return warnings.all;
}

/** Warnings about rows as they will be tokenised. */
export function renderedWarnings(
  rows: readonly (PreferenceRow & { line: number })[],
  settings: RenderSettings,
  tokenizer: Pick<Tokenizer, 'specialTokens' | 'tokenText'> | null,
  ids: Pick<TokenIds, 'bos' | 'eos'>,
): DataWarning[] {
  const warnings = new Warnings();
  if (ids.eos === null) warnings.add('no-eos', 0);
  const own = new Set(tokenizer?.specialTokens ?? []);
  const needs = { 'llama-3': '<|start_header_id|>', chatml: '<|im_start|>' } as Record<string, string | undefined>;
  const mark = needs[settings.format];
  if (tokenizer && mark && !own.has(mark)) warnings.add('marks-not-tokens', 0);
  const bos = ids.bos === null ? undefined : tokenizer?.tokenText(ids.bos);
  const eos = ids.eos === null ? undefined : tokenizer?.tokenText(ids.eos);
  for (const row of rows) {
    if (bos && row.prompt.startsWith(bos + bos)) warnings.add('double-bos', row.line);
    // A blank after the end mark is enough for a second one to be added.
    if (eos && row.chosen.trimEnd().endsWith(eos) && (!row.chosen.endsWith(eos) || row.chosen.endsWith(eos + eos))) {
      warnings.add('double-eos', row.line);
    }
  }
  return warnings.all;
}
