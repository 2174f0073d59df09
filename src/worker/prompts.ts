/** Prompts for answers: those of the visitor's held-out pairs and those that are typed, as text and as tokens. */
import { RowError } from '../data/errors';
import type { PromptFormat } from '../data/prompt-formats';
import { chatOf, type RenderSettings, renderRow, renderTurns } from '../data/render';
import { promptIds, resolveTokenIds } from '../data/tokenize';
import type { Tokenizer } from '../data/tokenizer';
import type { SourceRow } from '../data/types';
import type { SamplePrompt } from '../generate/run-samples';
import { stopTokens } from '../generate/stop-tokens';
import type { OpenModel } from '../model/load';
import type { HParams } from '../train/hparams';
import { DEFAULT_SAMPLE_PROMPTS, type SampleSettings } from '../train/sample-settings';
import type { HeldOutPrompt } from './protocol-chat';

/** Rows that are looked at for prompts, at most. */
const MOST_ROWS = 2000;

/** Tokens of a prompt that is taken unasked, at most: its cache lies beside the run. */
const MOST_TOKENS = 256;

/** Marks that end a turn in formats of ours. */
const TURN_ENDS: Partial<Record<PromptFormat, string>> = { 'llama-3': '<|eot_id|>', chatml: '<|im_end|>' };

/** Where an answer ends: at the model's own stop tokens, at the one that training puts after answers, and at a turn's end. */
export async function answerStops(
  { checkpoint }: Pick<OpenModel, 'checkpoint'>,
  tokenizer: Tokenizer,
  hparams: Pick<HParams, 'bos_token_id' | 'eos_token_id' | 'pad_token_id'>,
  format: PromptFormat,
): Promise<number[]> {
  const ids = await stopTokens(checkpoint.files, tokenizer);
  const { eos } = resolveTokenIds(hparams, tokenizer);
  const mark = TURN_ENDS[format];
  const end = mark !== undefined && tokenizer.specialTokens.includes(mark) ? tokenizer.encode(mark) : [];
  return [...new Set([...ids, ...(eos === null ? [] : [eos]), ...end])];
}

/** Different prompts of some rows, in their order, as training would begin them; rows that the format refuses are left out. */
export function promptsOf(
  rows: readonly SourceRow[],
  settings: RenderSettings,
  tokenizer: Tokenizer,
  count: number,
  fits: (rendered: string) => boolean = () => true,
): HeldOutPrompt[] {
  const found = new Map<string, HeldOutPrompt>();
  for (const row of rows.slice(0, MOST_ROWS)) {
    if (found.size === count) break;
    try {
      const { prompt: rendered } = renderRow(row, settings, tokenizer);
      if (rendered.trim() === '' || found.has(rendered) || !fits(rendered)) continue;
      found.set(rendered, { text: row.prompt, rendered, turns: chatOf(row).prompt });
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
    }
  }
  return [...found.values()];
}

/**
 * The prompts that a run is to answer: those of its settings, or else the first of the held-out pairs (of the training
 * pairs where none are held out) that training would not cut and that take little memory.
 */
export function samplePrompts(
  { prompts }: SampleSettings,
  rows: { train: readonly SourceRow[]; eval: readonly SourceRow[] },
  settings: RenderSettings,
  tokenizer: Tokenizer,
  hparams: HParams,
): SamplePrompt[] {
  const { bos } = resolveTokenIds(hparams, tokenizer);
  const ids = (text: string) => promptIds(tokenizer, text, bos);
  if (prompts.length > 0) {
    return prompts.map((content) => ({
      text: content,
      ids: ids(renderTurns([{ role: 'user', content }], settings, tokenizer)),
    }));
  }
  const from = rows.eval.length > 0 ? rows.eval : rows.train;
  const most = Math.min(hparams.max_prompt_length, MOST_TOKENS);
  const fits = (rendered: string) => ids(rendered).length <= most;
  return promptsOf(from, settings, tokenizer, DEFAULT_SAMPLE_PROMPTS, fits).map(({ text, rendered }) => ({
    text,
    ids: ids(rendered),
  }));
}
