/** Setting rows aside for evaluation. */
import { randomPermutation } from './random';
import { chatOf } from './render';
import type { SourceRow } from './types';

export interface SplitSettings {
  /** Share of the rows to set aside, 0 .. 0.5; rounded up to whole rows. */
  fraction: number;
  seed: number;
  /**
   * `row`: drawn with the seed. `prompt`: drawn with the seed, all rows of one prompt to the same side.
   * `tail`: the last rows of the file.
   */
  by: 'row' | 'prompt' | 'tail';
}

/** What tells prompts apart. */
export function promptKey(row: SourceRow): string {
  const { prompt } = chatOf(row);
  return prompt.length === 1 ? prompt[0].content : JSON.stringify(prompt.map(({ role, content }) => [role, content]));
}

/** Rows of each group by its key, groups in order of first appearance. */
function groups<Row>(rows: readonly Row[], key: (row: Row, index: number) => string): number[][] {
  const found = new Map<string, number[]>();
  rows.forEach((row, i) => {
    const k = key(row, i);
    const group = found.get(k);
    if (group) group.push(i);
    else found.set(k, [i]);
  });
  return [...found.values()];
}

/** Both sides keep the order of the file. At least one row (or one prompt) stays for training. */
export function splitRows<Row extends SourceRow>(
  rows: readonly Row[],
  settings: SplitSettings,
): { train: Row[]; eval: Row[] } {
  const wanted = Math.min(Math.ceil(rows.length * settings.fraction), rows.length - 1);
  if (!(wanted > 0)) return { train: [...rows], eval: [] };
  if (settings.by === 'tail') {
    return { train: rows.slice(0, rows.length - wanted), eval: rows.slice(rows.length - wanted) };
  }
  const all = settings.by === 'prompt' ? groups(rows, promptKey) : rows.map((_, i) => [i]);
  const order = randomPermutation(all.length, settings.seed);
  const aside = new Set<number>();
  for (const index of order.slice(0, -1)) {
    if (aside.size >= wanted) break;
    for (const row of all[index]) aside.add(row);
  }
  return { train: rows.filter((_, i) => !aside.has(i)), eval: rows.filter((_, i) => aside.has(i)) };
}
