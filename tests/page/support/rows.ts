/** Small real pairs: rows of the built-in sets, those of stories with each answer cut after a few sentences. */
import { readFileSync } from 'node:fs';
import { repositoryPath } from '../../support/files';

export interface Row {
  prompt: string;
  chosen: string;
  rejected: string;
}

const CHARACTERS = 160;

/** Whole sentences up to about 160 characters. */
function shorten(text: string): string {
  const short = text.slice(0, CHARACTERS);
  const end = Math.max(short.lastIndexOf('. '), short.lastIndexOf('.\n'), short.lastIndexOf('!'));
  return end > 40 ? short.slice(0, end + 1) : short;
}

/** The first `count` pairs whose cut answers still differ. */
export function shortRows(count: number): Row[] {
  const lines = readFileSync(repositoryPath('public/data/story-dialogue.jsonl'), 'utf8').split('\n').filter(Boolean);
  const rows = lines
    .map((line) => JSON.parse(line) as { request: string; chosen: string; rejected: string })
    .map(({ request, chosen, rejected }) => ({
      prompt: `${request}\n`,
      chosen: shorten(chosen),
      rejected: shorten(rejected),
    }))
    .filter(({ chosen, rejected }) => chosen !== rejected);
  if (rows.length < count) throw new Error(`the built-in set has only ${rows.length} such pairs`);
  return rows.slice(0, count);
}

/** The `count` shortest pairs of the built-in set of polite answers, in the set's own form. */
export function politeRows(count: number): Record<'instruction' | 'input' | 'chosen' | 'rejected', string>[] {
  const rows: ReturnType<typeof politeRows> = JSON.parse(
    readFileSync(repositoryPath('public/data/politeness.json'), 'utf8'),
  );
  const length = ({ instruction, input, chosen, rejected }: (typeof rows)[number]) =>
    instruction.length + input.length + chosen.length + rejected.length;
  return rows
    .filter(({ chosen, rejected }) => chosen !== rejected)
    .sort((a, b) => length(a) - length(b))
    .slice(0, count);
}

export const jsonl = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
