/** From a row as its file holds it to the text that is tokenised, in the prompt format of a run. */
import { RowError } from './errors';
import { alpaca, alpacaPrompt, chatml, type Layout, llama3, type PromptFormat, plain } from './prompt-formats';
import type { Tokenizer } from './tokenizer';
import type { ChatMessage, ChatPair, PreferenceRow, RowProblem, SourceRow } from './types';

export interface RenderSettings {
  format: PromptFormat;
  /** A system turn for conversations that have none; "" for none. */
  system?: string;
  /** ISO date for templates that write one; `PINNED_DATE` when absent. */
  date?: string;
  /** Jinja source; only for the format `custom`. */
  template?: string;
}

/** What rendering needs of a tokenizer. Null works for formats that are not Jinja templates. */
export type TemplateTokenizer = Pick<Tokenizer, 'applyChatTemplate' | 'hasChatTemplate' | 'specialTokens'>;

/** Marks of chat layouts, whichever model they belong to. */
const MARKS = ['<|start_header_id|>', '<|im_start|>', '[INST]', '<|user|>', '<start_of_turn>', '<|begin_of_text|>'];

/** True when the text was already put into some chat layout. */
export function hasTemplateMarks(text: string): boolean {
  return MARKS.some((mark) => text.includes(mark));
}

/** The format to begin with: the model's own where it has one and the rows are not yet in one. */
export function defaultPromptFormat(tokenizer: TemplateTokenizer | null, rows: readonly SourceRow[]): PromptFormat {
  const some = rows.slice(0, 100);
  const finished = some.some((row) => row.form === 'text' && hasTemplateMarks(row.prompt));
  return tokenizer?.hasChatTemplate && !finished ? 'chat-template' : 'as-is';
}

function layoutOf(settings: RenderSettings, tokenizer: TemplateTokenizer | null): Layout {
  switch (settings.format) {
    case 'llama-3':
      return llama3;
    case 'chatml':
      return chatml;
    case 'alpaca':
      return alpaca;
    case 'as-is':
      return plain;
    case 'chat-template':
    case 'custom': {
      if (!tokenizer) throw new RowError('bad-conversation', 'A chat template needs a model. Load one first.');
      const template = settings.format === 'custom' ? (settings.template ?? '') : undefined;
      return (messages, addGenerationPrompt) =>
        tokenizer.applyChatTemplate(messages, { addGenerationPrompt, template, date: settings.date });
    }
  }
}

/** A row as turns. */
export function chatOf(row: SourceRow): ChatPair {
  if (row.chat) return row.chat;
  const answer = (content: string): ChatMessage[] => [{ role: 'assistant', content }];
  return {
    prompt: [{ role: 'user', content: row.prompt }],
    chosen: answer(row.chosen),
    rejected: answer(row.rejected),
  };
}

function withSystem(messages: ChatMessage[], system: string): ChatMessage[] {
  return system.trim() === '' || messages[0]?.role === 'system'
    ? messages
    : [{ role: 'system', content: system }, ...messages];
}

function commonPrefix(a: string, b: string): number {
  const end = Math.min(a.length, b.length);
  let n = 0;
  while (n < end && a.charCodeAt(n) === b.charCodeAt(n)) n += 1;
  return n;
}

/**
 * TRL's maybe_apply_chat_template (spec 2.1): the prompt is rendered with an opened assistant turn and cut back to what
 * the two whole conversations begin with; the rest of each is its answer.
 */
function renderChat(chat: ChatPair, layout: Layout): PreferenceRow {
  const chosen = layout([...chat.prompt, ...chat.chosen], false);
  const rejected = layout([...chat.prompt, ...chat.rejected], false);
  let prompt = layout(chat.prompt, true);
  prompt = prompt.slice(0, commonPrefix(prompt, chosen));
  prompt = prompt.slice(0, commonPrefix(prompt, rejected));
  return { prompt, chosen: chosen.slice(prompt.length), rejected: rejected.slice(prompt.length) };
}

function renderPlain(row: SourceRow, chat: ChatPair, system: string): PreferenceRow {
  if (row.form === 'text') {
    const prompt = system.trim() === '' ? row.prompt : `${system}\n\n${row.prompt}`;
    return { prompt, chosen: row.chosen, rejected: row.rejected };
  }
  return { prompt: plain(chat.prompt, true), chosen: plain(chat.chosen, false), rejected: plain(chat.rejected, false) };
}

/**
 * The text of one row.
 *
 * @throws RowError `bad-conversation` when the template refuses the turns, `empty-answer` and `chosen-equals-rejected`
 *   when nothing of an answer, or of their difference, is left.
 */
export function renderRow(
  row: SourceRow,
  settings: RenderSettings,
  tokenizer: TemplateTokenizer | null,
): PreferenceRow {
  const layout = layoutOf(settings, tokenizer);
  const system = settings.system ?? '';
  const own = chatOf(row);
  const chat = { ...own, prompt: withSystem(own.prompt, system) };
  let text: PreferenceRow;
  if (settings.format === 'as-is') text = renderPlain(row, chat, system);
  else if (settings.format === 'alpaca' && row.parts) {
    const { instruction, input } = row.parts;
    text = { prompt: alpacaPrompt(instruction, input, system), chosen: row.chosen, rejected: row.rejected };
  } else {
    try {
      text = renderChat(chat, layout);
    } catch (error) {
      throw new RowError('bad-conversation', (error as Error).message);
    }
  }
  if (text.chosen.trim() === '' || text.rejected.trim() === '') {
    throw new RowError('empty-answer', 'The prompt format leaves no text of an answer.');
  }
  if (text.chosen === text.rejected) {
    throw new RowError('chosen-equals-rejected', 'In this prompt format the two answers are the same.');
  }
  return text;
}

/**
 * The text of a conversation up to where the answer to its last turn begins.
 *
 * @throws ChatTemplateError when the template refuses the turns
 */
export function renderTurns(
  turns: readonly ChatMessage[],
  settings: RenderSettings,
  tokenizer: TemplateTokenizer | null,
): string {
  const layout = settings.format === 'as-is' ? plain : layoutOf(settings, tokenizer);
  return layout(withSystem([...turns], settings.system ?? ''), true);
}

/** All rows that can be rendered, each with its line, and the problems of the rest. */
export function renderRows(
  rows: readonly SourceRow[],
  settings: RenderSettings,
  tokenizer: TemplateTokenizer | null,
): { rows: (PreferenceRow & { line: number })[]; problems: RowProblem[] } {
  const rendered: (PreferenceRow & { line: number })[] = [];
  const problems: RowProblem[] = [];
  for (const row of rows) {
    try {
      rendered.push({ ...renderRow(row, settings, tokenizer), line: row.line });
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      problems.push({ line: row.line, reason: error.reason, message: error.message });
    }
  }
  return { rows: rendered, problems };
}
