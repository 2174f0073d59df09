/** Which prompts a run answers on its way, and how. Names are those of transformers' GenerationConfig where it has them. */
import { TrainingError } from './errors';

export interface SampleSettings {
  /** Steps between answers: 0 for none, between 0 and 1 a share of all steps. */
  sample_steps: number;
  /** What is asked, as a user would; empty: the first held-out prompts that fit. */
  prompts: string[];
  max_new_tokens: number;
  /** Of the sampled answer; the greedy one beside it needs none of these. */
  temperature: number;
  top_p: number;
  /** The same at every step, so that answers differ by the adapter alone. */
  seed: number;
}

/** Prompts at most: more would not be read beside a curve. */
export const MOST_SAMPLE_PROMPTS = 8;
/** Held-out prompts that are asked when none are given. */
export const DEFAULT_SAMPLE_PROMPTS = 3;

export const DEFAULT_SAMPLES: Readonly<SampleSettings> = {
  sample_steps: 0,
  prompts: [],
  max_new_tokens: 64,
  temperature: 0.8,
  top_p: 0.95,
  seed: 42,
};

const RULES: Record<Exclude<keyof SampleSettings, 'prompts'>, [(value: number) => boolean, string]> = {
  sample_steps: [(v) => v >= 0 && (v < 1 || Number.isInteger(v)), 'a whole number of steps, a share below 1, or 0'],
  max_new_tokens: [(v) => Number.isInteger(v) && v >= 1, 'a whole number of at least 1'],
  temperature: [(v) => v > 0 && v <= 100, 'above 0 and at most 100'],
  top_p: [(v) => v > 0 && v <= 1, 'above 0 and at most 1'],
  seed: [(v) => Number.isInteger(v) && v >= 0, 'a whole number of at least 0'],
};

/** What is wrong with a number of these, or null. */
export function checkSampleNumber(key: keyof typeof RULES, value: unknown): string | null {
  const [allowed, what] = RULES[key];
  return typeof value === 'number' && allowed(value) ? null : `${key} must be ${what}.`;
}

/**
 * Fills in the defaults and checks every value.
 * @throws TrainingError `bad-settings` naming the first that is wrong
 */
export function parseSamples(json: unknown): SampleSettings {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) fail('samples must be a JSON object.');
  const known = Object.entries(json as object).filter(([key]) => key in DEFAULT_SAMPLES);
  const samples = { ...DEFAULT_SAMPLES, ...Object.fromEntries(known) } as SampleSettings;
  for (const key of Object.keys(RULES) as (keyof typeof RULES)[]) {
    const problem = checkSampleNumber(key, samples[key]);
    if (problem) fail(`samples: ${problem}`);
  }
  const { prompts } = samples as { prompts: unknown };
  if (!Array.isArray(prompts) || !prompts.every((p) => typeof p === 'string' && p.trim() !== '')) {
    fail('samples: prompts must be a list of texts that are not empty.');
  }
  if (samples.prompts.length > MOST_SAMPLE_PROMPTS) {
    fail(`samples: there may be ${MOST_SAMPLE_PROMPTS} prompts at most.`);
  }
  return { ...samples, prompts: [...samples.prompts] };
}

function fail(message: string): never {
  throw new TrainingError('bad-settings', message);
}
