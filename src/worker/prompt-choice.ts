/** The prompt format of a run, from what the visitor chose. */
import { defaultPromptFormat, type RenderSettings } from '../data/render';
import type { Tokenizer } from '../data/tokenizer';
import type { SourceRow } from '../data/types';
import type { PromptChoice } from './protocol';

export const AUTO: PromptChoice = { format: 'auto', system: '', date: '', template: '' };

export function renderSettings(
  choice: PromptChoice | undefined,
  tokenizer: Tokenizer | null,
  rows: readonly SourceRow[],
): RenderSettings {
  const { format, system, date, template } = choice ?? AUTO;
  return {
    format: format === 'auto' ? defaultPromptFormat(tokenizer, rows) : format,
    system,
    date: date === '' ? undefined : date,
    template,
  };
}
