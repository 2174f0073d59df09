/** Which fields of a file hold what, told from its first records. */
import { DataError } from '../errors';
import { type Fields, fieldOf } from './fields';
import { LABEL_NAMES, LABELLED_ANSWERS, labelBase, readLabel } from './labelled';
import { isMessageList } from './messages';
import { looksLike, type PairColumns, type ReadRow, readPair } from './pair-reader';
import { readScores, scoredColumns } from './scored';

/** Records looked at to recognise a schema. */
export const SAMPLE = 64;

export interface Schema {
  /** For people, e.g. "request / chosen / rejected". */
  title: string;
  /** Null where the answers are picked by label or score. */
  columns: PairColumns | null;
  /** Reads a record. Throws `RowError` with the reason why it cannot be used. */
  read(record: Fields): ReadRow;
}

const ANSWERS: readonly (readonly [string, string])[] = [
  ['chosen', 'rejected'],
  ['preferred_output', 'non_preferred_output'],
  ['chosen_messages', 'rejected_messages'],
  ['response_j', 'response_k'],
  ['chosen_response', 'rejected_response'],
  ['preferred', 'rejected'],
  ['preferred', 'dispreferred'],
  ['answer_chosen', 'answer_rejected'],
  ['positive', 'negative'],
  ['win', 'lose'],
];

const PROMPTS: readonly string[] = [
  'prompt',
  'conversations',
  'conversation',
  'input.messages',
  'instruction',
  'request',
  'question',
  'query',
  'messages',
  'user',
  'input',
  'context',
  'text',
];

const SYSTEMS: readonly string[] = ['system', 'system_prompt', 'system_message'];

function present(record: Fields, name: string): boolean {
  const value = fieldOf(record, name);
  return value !== undefined && value !== null;
}

function count(sample: readonly Fields[], name: string): number {
  return sample.filter((record) => present(record, name)).length;
}

/** The name that most records have; among equals the first. Null when none has any. */
function mostCommon(sample: readonly Fields[], names: readonly string[]): string | null {
  let best: string | null = null;
  let most = 0;
  for (const name of names) {
    const found = count(sample, name);
    if (found > most) {
      best = name;
      most = found;
    }
  }
  return best;
}

/** Prompt, system and input fields that go with whatever the answers are. */
function promptColumns(
  sample: readonly Fields[],
  without: readonly string[] = [],
): Omit<PairColumns, 'chosen' | 'rejected'> {
  const prompt =
    mostCommon(
      sample,
      PROMPTS.filter((name) => !without.includes(name)),
    ) ?? undefined;
  const system = mostCommon(sample, SYSTEMS) ?? undefined;
  const hasInput = prompt === 'instruction' && sample.some((record) => typeof record.input === 'string');
  return {
    ...(prompt === undefined ? {} : { prompt }),
    ...(hasInput ? { input: 'input' } : {}),
    ...(system === undefined ? {} : { system }),
  };
}

function promptTitle(columns: Partial<PairColumns>): string {
  const parts = [columns.system, columns.input ? `${columns.prompt} + ${columns.input}` : columns.prompt];
  return parts.filter((part) => part !== undefined).join(' / ');
}

function kindNote(sample: readonly Fields[], columns: PairColumns): string {
  const looks = (name: string | undefined, kind: string) =>
    name !== undefined && sample.some((record) => looksLike(fieldOf(record, name)) === kind);
  const notes: string[] = [];
  if (looks(columns.chosen, 'turns') || looks(columns.chosen, 'turn')) notes.push('turns');
  if (columns.prompt === undefined) {
    notes.push(looks(columns.chosen, 'transcript') ? 'transcripts, prompt shared by both' : 'prompt shared by both');
  }
  return notes.length === 0 ? '' : ` (${notes.join(', ')})`;
}

/** The schema with these columns, as chosen by a person or recognised. */
export function pairSchema(columns: PairColumns, sample: readonly Fields[] = []): Schema {
  const prompt = promptTitle(columns);
  const title = `${prompt === '' ? '' : `${prompt} / `}${columns.chosen} / ${columns.rejected}${kindNote(sample, columns)}`;
  return { title, columns, read: (record) => readPair(record, columns) };
}

/** A string prompt beside whole conversations says nothing that they do not (TRL ignores it, spec 2.1). */
function wholeConversations(sample: readonly Fields[], chosen: string): boolean {
  const lists = sample.map((record) => fieldOf(record, chosen)).filter(isMessageList);
  return (
    lists.length > 0 && lists.every((list) => !['assistant', 'gpt'].includes(String(list[0].role ?? list[0].from)))
  );
}

function pairs(sample: readonly Fields[]): Schema | null {
  let best: { names: readonly [string, string]; both: number; any: number } | null = null;
  for (const names of ANSWERS) {
    const both = sample.filter((record) => present(record, names[0]) && present(record, names[1])).length;
    const any = sample.filter((record) => present(record, names[0]) || present(record, names[1])).length;
    if (any > 0 && (!best || both > best.both || (both === best.both && any > best.any))) best = { names, both, any };
  }
  if (!best) return null;
  // With only one of the two names, generic words like "positive" prove nothing.
  if (best.both === 0 && best.names[0] !== 'chosen' && best.names[1] !== 'rejected') return null;
  const [chosen, rejected] = best.names;
  const columns: PairColumns = { ...promptColumns(sample), chosen, rejected };
  const { prompt, ...rest } = columns;
  const promptIsText = sample.some((record) => typeof fieldOf(record, prompt ?? '') === 'string');
  const conversations = wholeConversations(sample, chosen);
  if (prompt !== undefined && conversations && (promptIsText || prompt === 'messages')) {
    const schema = pairSchema(rest, sample);
    return { ...schema, title: `${schema.title.replace(/\)$/, '')}; "${prompt}" not used)` };
  }
  return pairSchema(columns, sample);
}

function labelled(sample: readonly Fields[]): Schema | null {
  for (const { names, base } of LABELLED_ANSWERS) {
    if (!sample.some((record) => present(record, names[0]) && present(record, names[1]))) continue;
    const label = mostCommon(sample, LABEL_NAMES);
    if (label === null) continue;
    const prompt = promptColumns(sample);
    const columns: PairColumns = { ...prompt, chosen: 'chosen', rejected: 'rejected' };
    const labels = sample.map((record) => record[label]);
    const pick = { first: names[0], second: names[1], label, base: labelBase(base, labels) };
    return {
      title: `${promptTitle(prompt)} / ${names[0]} or ${names[1]} by ${label}`,
      columns: null,
      read: (record) => readPair(readLabel(record, pick), columns),
    };
  }
  return null;
}

function scored(sample: readonly Fields[]): Schema | null {
  const found = sample.map(scoredColumns).find((columns) => columns !== null);
  if (!found) return null;
  const prompt = promptColumns(sample, [found.answers]);
  const columns: PairColumns = { ...prompt, chosen: 'chosen', rejected: 'rejected' };
  const by = found.score === null ? 'first against last' : `best against worst by ${found.score}`;
  return {
    title: `${promptTitle(prompt)} / ${found.answers}, ${by}`,
    columns: null,
    read: (record) => readPair(readScores(record, found), columns),
  };
}

/** One answer per row and a verdict, as KTO uses. */
function isUnpaired(sample: readonly Fields[]): boolean {
  const verdicts = ['label', 'kto_tag', 'desirable', 'is_good'];
  const answers = ['messages', 'completion', 'response', 'output', 'conversations', 'answer'];
  return sample.some(
    (record) =>
      verdicts.some((name) => typeof record[name] === 'boolean') && answers.some((name) => present(record, name)),
  );
}

/**
 * Recognises the schema of a file.
 *
 * @throws DataError `unpaired` for rows with one answer each, `unknown-schema` when no two answers are found.
 */
export function detectSchema(sample: readonly Fields[]): Schema {
  const schema = pairs(sample) ?? labelled(sample) ?? scored(sample);
  if (schema) return schema;
  if (isUnpaired(sample)) {
    throw new DataError(
      'unpaired',
      'This file is unpaired: each row has one answer and a verdict (as for KTO). ORPO needs two answers to the same prompt, one chosen and one rejected.',
    );
  }
  const names = [...new Set(sample.flatMap((record) => Object.keys(record)))];
  const shown = names.slice(0, 12).map((name) => name.slice(0, 40));
  throw new DataError(
    'unknown-schema',
    `No pair of answers was recognised. The fields are: ${shown.join(', ') || '(none)'}${names.length > 12 ? ', …' : ''}. Name the fields that hold the prompt, the chosen and the rejected answer.`,
  );
}
