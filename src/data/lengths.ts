/** How long the rows of a set are, against the limit of a run. */

/** What a run does with a row. */
export type RowFate = 'fits' | 'cut' | 'dropped';

export interface RowLength {
  /** Tokens of the longer of the two sequences, before cutting. */
  tokens: number;
  fate: RowFate;
}

export interface HistogramBin extends Record<RowFate, number> {
  /** Rows of `from` to `to - 1` tokens. */
  from: number;
  to: number;
}

export interface LengthHistogram {
  bins: HistogramBin[];
  counts: Record<RowFate, number>;
  longest: number;
  median: number;
  /** Where the line is drawn. */
  maxLength: number;
}

/** Widths that read well on an axis. */
function niceWidth(width: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, width)));
  const step = [1, 2, 5, 10].find((n) => n * power >= width) ?? 10;
  return Math.max(1, Math.ceil(step * power));
}

/** Counts rows by length, in at most `maxBins` bins of equal, round width that begin at 0. */
export function lengthHistogram(rows: readonly RowLength[], maxLength: number, maxBins = 40): LengthHistogram {
  const counts = { fits: 0, cut: 0, dropped: 0 };
  let longest = 0;
  for (const row of rows) {
    counts[row.fate] += 1;
    longest = Math.max(longest, row.tokens);
  }
  const width = niceWidth((longest + 1) / maxBins);
  const bins: HistogramBin[] = Array.from({ length: Math.floor(longest / width) + 1 }, (_, i) => ({
    from: i * width,
    to: (i + 1) * width,
    fits: 0,
    cut: 0,
    dropped: 0,
  }));
  for (const row of rows) bins[Math.floor(row.tokens / width)][row.fate] += 1;
  const sorted = rows.map((row) => row.tokens).sort((a, b) => a - b);
  const median = sorted.length === 0 ? 0 : sorted[Math.floor(sorted.length / 2)];
  return { bins: rows.length === 0 ? [] : bins, counts, longest, median, maxLength };
}
