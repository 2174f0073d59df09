/**
 * One record to one preference, given which fields hold the prompt and the two answers. What the fields hold (text, a
 * turn, a list of turns, a transcript) is told from the record itself.
 */
import { RowError } from '../errors';
import type { ChatMessage, ChatPair, SourceRow } from '../types';
import { type Fields, fieldOf, required, typeName } from './fields';
import { commonTurns, isMessage, isMessageList, readMessage, readMessages, sameTurns, startsWith } from './messages';
import { isTranscript, readTranscript } from './transcript';

/** Names of the fields; dots look inside ("input.messages"). */
export interface PairColumns {
  /** Absent when the prompt is what both answers begin with. */
  prompt?: string;
  /** A second part of the prompt, put under the first (the Alpaca layout). */
  input?: string;
  /** A system turn beside the prompt. */
  system?: string;
  chosen: string;
  rejected: string;
}

/** A row but for its line. */
export type ReadRow = Omit<SourceRow, 'line'>;

/** What the rows' text prompts are: finished text, or a request that still lacks a prompt format. */
const TEXT_PROMPTS = new Set(['prompt', 'text', 'context']);

function optionalText(record: Fields, name: string | undefined): string {
  if (name === undefined) return '';
  const value = fieldOf(record, name);
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') {
    throw new RowError('wrong-type', `The field "${name}" holds ${typeName(value)} instead of text.`);
  }
  return value;
}

type Answer = string | ChatMessage[];

function readAnswer(record: Fields, name: string): Answer {
  const value = required(record, name);
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) {
    if (value.length === 0) throw new RowError('empty-answer', `The field "${name}" is an empty list.`);
    return readMessages(value, name);
  }
  if (isMessage(value)) return [readMessage(value, name)];
  throw new RowError('wrong-type', `The field "${name}" holds ${typeName(value)} instead of text or a list of turns.`);
}

function textOf(turns: readonly ChatMessage[]): string {
  if (turns.length === 1) return turns[0].content;
  return turns.map(({ role, content }) => `${role}: ${content}`).join('\n\n');
}

function chatRow(chat: ChatPair): ReadRow {
  const { prompt, chosen, rejected } = chat;
  const last = prompt.at(-1)?.role;
  if (last !== 'user' && last !== 'tool') {
    throw new RowError(
      'bad-conversation',
      last === undefined
        ? 'The two answers share no turn that could be the prompt.'
        : `The prompt ends with a turn of "${last}" instead of the user's.`,
    );
  }
  for (const answer of [chosen, rejected]) {
    if (answer.at(-1)?.role !== 'assistant') {
      throw new RowError('bad-conversation', `An answer ends with a turn of "${answer.at(-1)?.role}".`);
    }
    if (answer.every(({ content }) => content.trim() === '')) {
      throw new RowError('empty-answer', `The ${answer === chosen ? 'chosen' : 'rejected'} answer is empty.`);
    }
  }
  if (sameTurns(chosen, rejected)) throw equal();
  return { form: 'chat', chat, prompt: textOf(prompt), chosen: textOf(chosen), rejected: textOf(rejected) };
}

function equal(): RowError {
  return new RowError('chosen-equals-rejected', 'The chosen and the rejected answer are the same.');
}

function textRow(form: 'text' | 'request', prompt: string, chosen: string, rejected: string): ReadRow {
  if (chosen.trim() === '') throw new RowError('empty-answer', 'The chosen answer is empty.');
  if (rejected.trim() === '') throw new RowError('empty-answer', 'The rejected answer is empty.');
  if (chosen === rejected) throw equal();
  return { form, prompt, chosen, rejected };
}

/** Two whole conversations: what they begin with in common is the prompt (TRL's extract_prompt, spec 2.1). */
function splitTurns(chosen: ChatMessage[], rejected: ChatMessage[]): ChatPair {
  if (sameTurns(chosen, rejected)) throw equal();
  // When one is the other's beginning, its last turn counts as an answer.
  const shared = Math.min(commonTurns(chosen, rejected), chosen.length - 1, rejected.length - 1);
  return { prompt: chosen.slice(0, shared), chosen: chosen.slice(shared), rejected: rejected.slice(shared) };
}

/** Two whole texts: the prompt is what they begin with in common, cut back to the end of a word. */
function splitTexts(chosen: string, rejected: string): ReadRow {
  if (chosen === rejected) throw equal();
  let shared = 0;
  while (shared < chosen.length && shared < rejected.length && chosen[shared] === rejected[shared]) shared += 1;
  while (shared > 0 && !/\s/.test(chosen[shared - 1])) shared -= 1;
  // As in TRL, a space goes with the answer.
  if (chosen[shared - 1] === ' ') shared -= 1;
  return textRow('text', chosen.slice(0, shared), chosen.slice(shared), rejected.slice(shared));
}

function withSystem(system: string, turns: ChatMessage[]): ChatMessage[] {
  return system.trim() === '' || turns[0]?.role === 'system' ? turns : [{ role: 'system', content: system }, ...turns];
}

/** Reads a record. Throws `RowError` with the reason why it cannot be used. */
export function readPair(record: Fields, columns: PairColumns): ReadRow {
  const prompt = columns.prompt === undefined ? undefined : required(record, columns.prompt);
  const chosen = readAnswer(record, columns.chosen);
  const rejected = readAnswer(record, columns.rejected);
  const system = optionalText(record, columns.system);
  if (typeof chosen !== typeof rejected) {
    throw new RowError(
      'wrong-type',
      `"${columns.chosen}" and "${columns.rejected}" must both be text, or both be turns.`,
    );
  }
  if (Array.isArray(prompt)) {
    const turns = withSystem(system, readMessages(prompt, columns.prompt ?? ''));
    return chatRow({ prompt: turns, chosen: answerTurns(chosen, turns), rejected: answerTurns(rejected, turns) });
  }
  if (prompt !== undefined && typeof prompt !== 'string') {
    throw new RowError('wrong-type', `The field "${columns.prompt}" holds ${typeName(prompt)} instead of text.`);
  }
  if (typeof chosen !== 'string' && typeof rejected !== 'string') {
    const alone = prompt !== undefined && isAnswerOnly(chosen) && isAnswerOnly(rejected);
    if (alone) {
      const turns = withSystem(system, [{ role: 'user', content: promptText(record, columns, prompt) }]);
      return chatRow({ prompt: turns, chosen, rejected });
    }
    // Whole conversations: a text prompt beside them is not used, as in TRL.
    const pair = splitTurns(chosen, rejected);
    return chatRow({ ...pair, prompt: withSystem(system, pair.prompt) });
  }
  return readTexts(record, columns, prompt, system, chosen as string, rejected as string);
}

function readTexts(
  record: Fields,
  columns: PairColumns,
  prompt: string | undefined,
  system: string,
  chosen: string,
  rejected: string,
): ReadRow {
  if (prompt === undefined) {
    if (isTranscript(chosen) && isTranscript(rejected)) {
      return chatRow(splitTurns(readTranscript(chosen), readTranscript(rejected)));
    }
    return splitTexts(chosen, rejected);
  }
  const text = promptText(record, columns, prompt);
  if (system.trim() !== '') {
    const row = textRow('request', text, chosen, rejected);
    return chatRow({
      prompt: withSystem(system, [{ role: 'user', content: text }]),
      chosen: [{ role: 'assistant', content: row.chosen }],
      rejected: [{ role: 'assistant', content: row.rejected }],
    });
  }
  const row = textRow(TEXT_PROMPTS.has(columns.prompt ?? '') ? 'text' : 'request', text, chosen, rejected);
  if (columns.input === undefined) return row;
  return { ...row, form: 'request', parts: { instruction: prompt, input: optionalText(record, columns.input) } };
}

function isAnswerOnly(turns: readonly ChatMessage[]): boolean {
  return turns[0].role === 'assistant';
}

function answerTurns(answer: Answer, prompt: readonly ChatMessage[]): ChatMessage[] {
  if (typeof answer === 'string') {
    if (answer.trim() === '') throw new RowError('empty-answer', 'An answer is empty.');
    return [{ role: 'assistant', content: answer }];
  }
  // Some files repeat the prompt in front of each answer.
  return startsWith(answer, prompt) ? answer.slice(prompt.length) : answer;
}

function promptText(record: Fields, columns: PairColumns, prompt: string): string {
  const input = optionalText(record, columns.input);
  return input.trim() === '' ? prompt : `${prompt}\n\n${input}`;
}

/** What a record's field looks like, for naming the schema. */
export function looksLike(value: unknown): 'text' | 'transcript' | 'turn' | 'turns' | 'other' {
  if (typeof value === 'string') return isTranscript(value) ? 'transcript' : 'text';
  if (isMessageList(value)) return 'turns';
  return isMessage(value) ? 'turn' : 'other';
}
