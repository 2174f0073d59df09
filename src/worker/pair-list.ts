/** The list of pairs as it is searched and narrowed. */
import type { SourceRow } from '../data/types';
import type { PairExcerpt, PairsPage } from './protocol';
import { Pause } from './shared-job';

/** Characters of each text in a list. */
const EXCERPT = 240;
/** Characters shown before what was searched for. */
const BEFORE = 40;

/** A piece of a text that does not cut a character in two. */
function piece(text: string, from: number, length: number): string {
  let begin = from;
  let end = Math.min(text.length, from + length);
  if (begin > 0 && isTrail(text, begin)) begin += 1;
  if (end < text.length && isTrail(text, end)) end -= 1;
  return `${begin > 0 ? '… ' : ''}${text.slice(begin, end)}${end < text.length ? ' …' : ''}`;
}

function isTrail(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff;
}

/** The beginning of a text, or the part around what was searched for. `query` is in lower case. */
export function excerpt(text: string, query: string): string {
  const at = query === '' ? -1 : text.toLowerCase().indexOf(query);
  return piece(text, at > EXCERPT - BEFORE ? at - BEFORE : 0, EXCERPT);
}

/** Places of the rows that hold a text in any of theirs, in order. Rejects with `cancelled`. */
export async function searchRows(
  rows: readonly SourceRow[],
  places: readonly number[] | null,
  query: string,
  signal: AbortSignal,
): Promise<number[]> {
  const found: number[] = [];
  const pause = new Pause(signal);
  const wanted = query.toLowerCase();
  const count = places?.length ?? rows.length;
  for (let i = 0; i < count; i++) {
    const place = places ? places[i] : i;
    const { prompt, chosen, rejected } = rows[place];
    if ([prompt, chosen, rejected].some((text) => text.toLowerCase().includes(wanted))) found.push(place);
    if (pause.due) await pause.breathe();
  }
  return found;
}

export function pageOf(
  rows: readonly SourceRow[],
  places: readonly number[] | null,
  offset: number,
  limit: number,
  query: string,
): PairsPage {
  const total = places?.length ?? rows.length;
  const pairs: PairExcerpt[] = [];
  const wanted = query.toLowerCase();
  for (let i = offset; i < Math.min(total, offset + limit); i++) {
    const index = places ? places[i] : i;
    const { prompt, chosen, rejected } = rows[index];
    const [p, c, r] = [prompt, chosen, rejected].map((text) => excerpt(text, wanted));
    pairs.push({ index, prompt: p, chosen: c, rejected: r });
  }
  return { offset, total, pairs };
}
