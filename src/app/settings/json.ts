/** Settings as a JSON file, under the names of TRL, transformers and PEFT. */
import { type HParams, type PromptChoice, parseSamples, type SampleSettings } from '../../worker/protocol';
import { FIELDS } from './fields';
import { isPromptChoice } from './prompt';
import { checkField } from './validate';

/** The settings and, as `prompt`, how rows become text, as `samples` what the run answers on its way. */
export const settingsToJson = (hparams: HParams, prompt: PromptChoice, samples?: SampleSettings): string =>
  `${JSON.stringify({ ...hparams, prompt, samples }, null, 2)}\n`;

export interface ImportedSettings {
  hparams: HParams;
  /** The prompt format, where the file has one. */
  prompt: PromptChoice | null;
  /** What the run answers on its way, where the file has it. */
  samples: SampleSettings | null;
  /** Names that were read. */
  read: string[];
  /** Names this page does not know; they were left out. */
  unknown: string[];
}

/** A settings file that cannot be used; `message` says what to mend. */
export class SettingsFileError extends Error {
  override readonly name = 'SettingsFileError';
  readonly code = 'settings-file';
}

/**
 * Reads a settings file over `current`: names it lacks keep their value.
 * @throws SettingsFileError when it is not a JSON object or a value is not allowed.
 */
export function settingsFromJson(text: string, current: HParams): ImportedSettings {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    const detail = cause instanceof Error ? ` (${cause.message})` : '';
    throw new SettingsFileError(
      `This settings file is not JSON${detail}. Choose a file such as “Export settings” writes.`,
    );
  }
  if (typeof data !== 'object' || data === null || Array.isArray(data)) {
    throw new SettingsFileError('This settings file must hold one JSON object, such as {"beta": 0.1, "lora_r": 16}.');
  }
  const values = data as Record<string, unknown>;
  const hparams = { ...current } as unknown as Record<string, unknown>;
  const read: string[] = [];
  for (const field of FIELDS) {
    if (!(field.key in values)) continue;
    const problem = checkField(field, values[field.key]);
    if (problem) {
      const shown = JSON.stringify(values[field.key]);
      throw new SettingsFileError(`${field.key} is ${shown} in this settings file. ${problem}`);
    }
    hparams[field.key] = values[field.key];
    read.push(field.key);
  }
  const prompt = values.prompt ?? null;
  if (prompt !== null && !isPromptChoice(prompt)) {
    throw new SettingsFileError(
      'prompt in this settings file is not a prompt format as “Export settings” writes it. Mend it, or take it out.',
    );
  }
  const samples = samplesOf(values.samples);
  if (read.length === 0 && prompt === null && samples === null)
    throw new SettingsFileError('This file names no setting of a run. The names are those of TRL, e.g. learning_rate.');
  const known = new Set<string>(FIELDS.map((field) => field.key));
  return {
    hparams: hparams as unknown as HParams,
    prompt,
    samples,
    read: [...read, ...(prompt ? ['prompt'] : []), ...(samples ? ['samples'] : [])],
    unknown: Object.keys(values).filter((name) => name !== 'prompt' && name !== 'samples' && !known.has(name)),
  };
}

function samplesOf(value: unknown): SampleSettings | null {
  if (value === undefined || value === null) return null;
  try {
    return parseSamples(value);
  } catch (cause) {
    throw new SettingsFileError(`In this settings file ${(cause as Error).message} Mend it, or take samples out.`);
  }
}
