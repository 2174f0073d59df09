/** The rows of one side as tokens, and which rows are cut or left out. */
import type { RenderSettings } from '../data/render';
import { resolveTokenIds } from '../data/tokenize';
import { type TokenizedSet, tokenizeSet } from '../data/tokenize-set';
import type { Tokenizer } from '../data/tokenizer';
import type { SourceRow } from '../data/types';
import type { HParams } from '../train/hparams';

export interface SideTokens {
  set: TokenizedSet;
  cut: SourceRow[];
  dropped: SourceRow[];
}

export interface TokenOptions {
  signal?: AbortSignal;
  onProgress?: (done: number, total: number) => void;
}

export async function tokenizeSide(
  tokenizer: Tokenizer,
  rows: readonly SourceRow[],
  hparams: HParams,
  settings: RenderSettings,
  options: TokenOptions,
): Promise<SideTokens> {
  // Lines may repeat where several files make one set; places do not.
  const numbered = rows.map((row, i) => ({ ...row, line: i }));
  const ids = resolveTokenIds(hparams, tokenizer);
  const set = await tokenizeSet(tokenizer, numbered, hparams, ids, { ...options, render: { settings, tokenizer } });
  const dropped = set.problems.map((problem) => rows[problem.line]);
  // Rows that could not even be laid out have no length.
  const unmeasured = new Set(set.problems.filter((p) => p.reason !== 'no-answer-tokens').map((p) => p.line));
  const measured = rows.filter((_, i) => !unmeasured.has(i));
  const cut = measured.filter((_, i) => set.lengths[i].fate === 'cut');
  const problems = set.problems.map((problem) => ({ ...problem, line: rows[problem.line].line }));
  return { set: { ...set, problems }, cut, dropped };
}
