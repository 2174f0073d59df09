/** Rows as TRL reads them: {prompt, chosen, rejected} as plain JSON lines, in a prompt format, without unusable rows. */
import { rowHash } from './duplicates';
import { RowError } from './errors';
import { type RenderSettings, renderRow, type TemplateTokenizer } from './render';
import { checkAnswers, type Encoder, layoutRow, type TokenIds } from './tokenize';
import type { TruncationSettings } from './truncate';
import type { RowProblem, SourceRow } from './types';

export interface PrepareOptions {
  render: RenderSettings;
  tokenizer: (TemplateTokenizer & Encoder) | null;
  /** Leave out rows that these settings could not train. */
  fit?: { settings: TruncationSettings; ids: Pick<TokenIds, 'bos' | 'eos'> };
  /** Leave out rows that repeat an earlier one. */
  dropDuplicates?: boolean;
}

/** Turns rows into lines one by one and counts what is left out. */
export class Preparer {
  readonly problems = new Map<RowProblem['reason'], number>();
  pairs = 0;
  truncated = 0;
  /** Rows that repeat an earlier one; left out only when asked. */
  duplicates = 0;
  readonly #seen = new Set<number>();
  readonly #options: PrepareOptions;

  constructor(options: PrepareOptions) {
    this.#options = options;
  }

  /** A line with its newline, or null for a row that is left out. */
  line(row: SourceRow): string | null {
    try {
      return this.#line(row);
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      this.#count(error.reason);
      return null;
    }
  }

  #count(reason: RowProblem['reason']): void {
    this.problems.set(reason, (this.problems.get(reason) ?? 0) + 1);
  }

  #line(row: SourceRow): string | null {
    const { render, tokenizer, fit, dropDuplicates } = this.#options;
    const { prompt, chosen, rejected } = renderRow(row, render, tokenizer);
    if (fit && tokenizer) {
      const layout = layoutRow(tokenizer, { prompt, chosen, rejected }, fit.settings, fit.ids);
      checkAnswers(layout, fit.settings, fit.ids);
      if (layout.truncated) this.truncated += 1;
    }
    const key = rowHash(row);
    if (this.#seen.has(key)) {
      this.duplicates += 1;
      if (dropDuplicates) {
        this.#count('duplicate');
        return null;
      }
    }
    this.#seen.add(key);
    this.pairs += 1;
    return `${JSON.stringify({ prompt, chosen, rejected })}\n`;
  }
}

/** Rows in memory as a stream of lines, e.g. for a download. */
export function preparedStream(rows: readonly SourceRow[], preparer: Preparer): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      let text = '';
      while (at < rows.length && text.length < 65536) text += preparer.line(rows[at++]) ?? '';
      if (text !== '') controller.enqueue(encoder.encode(text));
      if (at >= rows.length) controller.close();
    },
  });
}
