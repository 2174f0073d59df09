/** Turns of a conversation in the spellings that files use. */
import { RowError } from '../errors';
import type { ChatMessage } from '../types';
import { type Fields, isFields, typeName } from './fields';

/** Other names of the roles that chat templates know. */
const ROLES: Record<string, string> = {
  human: 'user',
  prompter: 'user',
  gpt: 'assistant',
  bot: 'assistant',
  chatgpt: 'assistant',
  chatbot: 'assistant',
  model: 'assistant',
  ai: 'assistant',
  observation: 'tool',
};

function bad(message: string): RowError {
  return new RowError('bad-conversation', message);
}

/** Text of a content field: a string, or a list of parts that are all text. */
function contentText(content: unknown, where: string): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) {
    throw new RowError('wrong-type', `A turn in "${where}" holds ${typeName(content)} instead of text.`);
  }
  return content
    .map((part: unknown) => {
      if (typeof part === 'string') return part;
      const text = isFields(part) ? (part.text ?? part.value) : undefined;
      const type = isFields(part) ? part.type : undefined;
      if (typeof text !== 'string' || (typeof type === 'string' && type !== 'text')) {
        const what = typeof type === 'string' ? `a part of type "${type.slice(0, 40)}"` : 'a part that is no text';
        throw new RowError('wrong-type', `A turn in "${where}" holds ${what}. Only text can be trained.`);
      }
      return text;
    })
    .join('');
}

/** True for what looks like a turn: {role, content} or ShareGPT's {from, value}. */
export function isMessage(value: unknown): value is Fields {
  return isFields(value) && (('role' in value && 'content' in value) || ('from' in value && 'value' in value));
}

export function isMessageList(value: unknown): value is Fields[] {
  return Array.isArray(value) && value.length > 0 && isMessage(value[0]);
}

/** One turn with its role in the usual spelling. Throws `RowError`. */
export function readMessage(value: unknown, where: string): ChatMessage {
  if (!isMessage(value)) throw new RowError('wrong-type', `"${where}" holds ${typeName(value)} instead of a turn.`);
  const role = 'role' in value ? value.role : value.from;
  if (typeof role !== 'string' || role === '') throw bad(`A turn in "${where}" has no role.`);
  const lower = role.toLowerCase();
  return {
    role: ROLES[lower] ?? lower,
    content: contentText('content' in value ? value.content : value.value, where),
  };
}

export function readMessages(value: unknown, where: string): ChatMessage[] {
  if (!Array.isArray(value)) {
    throw new RowError('wrong-type', `"${where}" holds ${typeName(value)} instead of a list of turns.`);
  }
  return value.map((turn) => readMessage(turn, where));
}

function same(a: ChatMessage | undefined, b: ChatMessage | undefined): boolean {
  return a !== undefined && b !== undefined && a.role === b.role && a.content === b.content;
}

/** Turns that two lists begin with in common. */
export function commonTurns(a: readonly ChatMessage[], b: readonly ChatMessage[]): number {
  let n = 0;
  while (same(a[n], b[n])) n += 1;
  return n;
}

/** True when `list` begins with all of `start`. */
export function startsWith(list: readonly ChatMessage[], start: readonly ChatMessage[]): boolean {
  return start.length > 0 && list.length > start.length && commonTurns(list, start) === start.length;
}

export function sameTurns(a: readonly ChatMessage[], b: readonly ChatMessage[]): boolean {
  return a.length === b.length && commonTurns(a, b) === a.length;
}
