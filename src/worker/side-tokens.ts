/** The rows of one side as tokens, and which rows are cut or left out. */
import type { RenderSettings } from '../data/render';
import { resolveTokenIds } from '../data/tokenize';
import { type TokenizedSet, tokenizeSet } from '../data/tokenize-set';
import type { Tokenizer } from '../data/tokenizer';
import type { SourceRow } from '../data/types';
import type { HParams } from '../train/hparams';
import { PackedPair } from './packed-pair';

export interface SideTokens {
  set: TokenizedSet;
  cut: SourceRow[];
  dropped: SourceRow[];
}

export interface TokenOptions {
  signal?: AbortSignal;
  onProgress?: (done: number, total: number) => void;
}

/** Rows whose tokens are held as plain lists at a time. */
const STRETCH = 500;

/** Rejects with `cancelled`. */
export async function tokenizeSide(
  tokenizer: Tokenizer,
  rows: readonly SourceRow[],
  hparams: HParams,
  settings: RenderSettings,
  { signal, onProgress }: TokenOptions,
): Promise<SideTokens> {
  const ids = resolveTokenIds(hparams, tokenizer);
  const all: TokenizedSet = { pairs: [], sources: [], lengths: [], truncated: 0, problems: [], tokens: 0 };
  const side: SideTokens = { set: all, cut: [], dropped: [] };
  for (let from = 0; from < rows.length; from += STRETCH) {
    // Lines may repeat where several files make one set; places do not.
    const some = rows.slice(from, from + STRETCH).map((row, i) => ({ ...row, line: from + i }));
    const set = await tokenizeSet(tokenizer, some, hparams, ids, {
      signal,
      onProgress: (done) => onProgress?.(from + done, rows.length),
      render: { settings, tokenizer },
    });
    for (const pair of set.pairs) all.pairs.push(new PackedPair(pair));
    for (const source of set.sources) all.sources.push(from + source);
    for (const length of set.lengths) all.lengths.push(length);
    all.truncated += set.truncated;
    all.tokens += set.tokens;
    for (const problem of set.problems) {
      const row = rows[problem.line];
      side.dropped.push(row);
      all.problems.push({ ...problem, line: row.line });
    }
    // Rows that could not even be laid out have no length.
    const unmeasured = new Set(set.problems.filter((p) => p.reason !== 'no-answer-tokens').map((p) => p.line));
    const measured = some.filter((row) => !unmeasured.has(row.line));
    measured.forEach((row, i) => {
      if (set.lengths[i].fate === 'cut') side.cut.push(rows[row.line]);
    });
  }
  return side;
}
