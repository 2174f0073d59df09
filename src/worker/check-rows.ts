/** Looks through the rows of a set for what is likely to be a mistake, in slices. */
import { DuplicateSearch } from '../data/duplicates';
import { type RenderSettings, renderRows } from '../data/render';
import { promptKey } from '../data/split';
import type { TokenIds } from '../data/tokenize';
import type { Tokenizer } from '../data/tokenizer';
import type { SourceRow } from '../data/types';
import { type DataWarning, renderedWarnings, sourceWarnings } from '../data/warnings';
import type { DuplicateKind, WarningCode } from './protocol';
import { Pause } from './shared-job';

export interface Found<Kind extends string> {
  kind: Kind;
  message: string;
  /** Empty when it is about the settings rather than about rows. */
  rows: Set<SourceRow>;
}

/** Warnings name this many rows at most, so no more are looked at in one go. */
const AT_ONCE = 20;

/** Rows put through a Jinja template to look at the result. What a template does, it does to every row. */
const MOST_RENDERED = 2000;

/** Characters with which marks and special tokens begin; rows without them need no search for either. */
function markStarts(tokenizer: Tokenizer | null): RegExp {
  const starts = new Set(['<', '[', ...(tokenizer?.specialTokens ?? []).map((token) => token[0] ?? '<')]);
  return new RegExp([...starts].map((c) => c.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|'), 'u');
}

const textOf = (row: SourceRow): string =>
  row.chat
    ? [...row.chat.prompt, ...row.chat.chosen, ...row.chat.rejected].map((turn) => turn.content).join('\n')
    : `${row.prompt}\n${row.chosen}\n${row.rejected}`;

export interface CheckOptions {
  signal?: AbortSignal;
  onProgress?: (done: number, total: number) => void;
}

/** Warnings with every row they are about. Rejects with `cancelled`. */
export async function findWarnings(
  rows: readonly SourceRow[],
  settings: RenderSettings,
  tokenizer: Tokenizer | null,
  ids: Pick<TokenIds, 'bos' | 'eos'>,
  options: CheckOptions,
): Promise<Found<WarningCode>[]> {
  const found = new Map<WarningCode, Found<WarningCode>>();
  const take = (warnings: readonly DataWarning[]) => {
    for (const { code, message, lines } of warnings) {
      const entry: Found<WarningCode> = found.get(code) ?? { kind: code, message, rows: new Set() };
      // A line of 0 stands for the settings; places here begin with 1.
      for (const line of lines) if (line > 0) entry.rows.add(rows[line - 1]);
      found.set(code, entry);
    }
  };
  const starts = markStarts(tokenizer);
  const bare = tokenizer && { specialTokens: [] };
  const jinja = settings.format === 'chat-template' || settings.format === 'custom';
  const render = !jinja || tokenizer !== null;
  const stride = jinja ? Math.max(1, Math.ceil(rows.length / MOST_RENDERED)) : 1;
  const pause = new Pause(options.signal);
  take(renderedWarnings([], settings, tokenizer, ids));
  for (let from = 0; from < rows.length; from += AT_ONCE) {
    const some = rows.slice(from, from + AT_ONCE).map((row, i) => ({ ...row, line: from + i + 1 }));
    const marked = some.some((row) => starts.test(textOf(row)));
    take(sourceWarnings(some, settings, marked ? tokenizer : bare));
    if (render && tokenizer) {
      const looked = stride === 1 ? some : some.filter((row) => (row.line - 1) % stride === 0);
      take(renderedWarnings(renderRows(looked, settings, tokenizer).rows, settings, tokenizer, ids));
    }
    if (!pause.due) continue;
    options.onProgress?.(from, rows.length);
    await pause.breathe();
  }
  options.onProgress?.(rows.length, rows.length);
  return [...found.values()];
}

const DUPLICATES: Record<DuplicateKind, string> = {
  repeated: 'These rows repeat an earlier one word for word, which trains it twice.',
  reversed: 'These rows prefer what an earlier row with the same prompt rejects: the two contradict each other.',
  'same-answers': 'Chosen and rejected differ only in blank space, so there is nothing to prefer.',
};

export interface FoundDuplicates {
  found: Found<DuplicateKind>[];
  repeatedPrompts: number;
  rowsOfRepeatedPrompts: number;
}

/** Rows that are there twice, contradict an earlier one, or whose two answers are alike. Rejects with `cancelled`. */
export async function findRepeats(rows: readonly SourceRow[], signal?: AbortSignal): Promise<FoundDuplicates> {
  const search = new DuplicateSearch(rows);
  const pause = new Pause(signal);
  for (let i = 0; i < rows.length; i++) {
    search.look(i);
    if (pause.due) await pause.breathe();
  }
  const { repeated, reversed, repeatedPrompts, rowsOfRepeatedPrompts } = search.result;
  const alike = rows.filter(({ chosen, rejected }) => chosen.trim() === rejected.trim());
  const kinds: [DuplicateKind, SourceRow[]][] = [
    ['repeated', repeated.map((i) => rows[i])],
    ['reversed', reversed.map((i) => rows[i])],
    ['same-answers', alike],
  ];
  const found = kinds
    .filter(([, list]) => list.length > 0)
    .map(([kind, list]) => ({ kind, message: DUPLICATES[kind], rows: new Set(list) }));
  return { found, repeatedPrompts, rowsOfRepeatedPrompts };
}

/** How many prompts of the held-out rows are trained on as well. */
export function promptsOnBothSides(train: readonly SourceRow[], held: readonly SourceRow[]): number {
  if (held.length === 0) return 0;
  const asked = new Set(held.map(promptKey));
  const both = new Set<string>();
  for (const row of train) {
    const key = promptKey(row);
    if (asked.has(key)) both.add(key);
  }
  return both.size;
}
