/** Which prompts a run answers on its way, as the visitor has it. */
import { DEFAULT_SAMPLES, parseSamples, type SampleSettings } from '../../worker/protocol';

export interface SampleChoice extends Omit<SampleSettings, 'sample_steps'> {
  /** Null until the visitor chooses: by the device then. */
  sample_steps: number | null;
}

export const DEFAULT_SAMPLE_CHOICE: SampleChoice = { ...DEFAULT_SAMPLES, sample_steps: null };

/** Ten times a run on a GPU; a processor has enough to do. */
const GPU_STEPS = 0.1;

export const resolveSamples = (choice: SampleChoice, isSoftware: boolean): SampleSettings => ({
  ...choice,
  sample_steps: choice.sample_steps ?? (isSoftware ? 0 : GPU_STEPS),
  prompts: choice.prompts.map((prompt) => prompt.trim()).filter((prompt) => prompt !== ''),
});

/** Accepts anything, since it may come from an earlier version's storage; null for what cannot be used. */
export function storedSamples(value: unknown): SampleChoice | null {
  try {
    const { sample_steps: steps = null } = (value ?? {}) as Partial<SampleChoice>;
    return { ...parseSamples({ ...(value as object), sample_steps: steps ?? 0 }), sample_steps: steps };
  } catch {
    return null;
  }
}
