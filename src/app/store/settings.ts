/** The run's settings, kept between visits. */
import { create } from 'zustand';
import { createJSONStorage, persist } from 'zustand/middleware';
import type { DataSettings, HParams, PromptChoice, SampleSettings, Settings, Split } from '../../worker/protocol';
import { FIELDS, type FieldKey } from '../settings/fields';
import { type PresetId, presetById } from '../settings/presets';
import { DEFAULT_PROMPT, isPromptChoice } from '../settings/prompt';
import { DEFAULT_SAMPLE_CHOICE, resolveSamples, type SampleChoice, storedSamples } from '../settings/samples';
import { checkField } from '../settings/validate';
import { useDevice } from './device';

interface SettingsState {
  presetId: PresetId;
  /** True once the visitor has chosen or changed something; until then the preset follows the model. */
  touched: boolean;
  hparams: HParams;
  /** Share of the training file held out, 0..0.5. */
  evalFraction: number;
  /** What the share is drawn by. */
  splitBy: Split['by'];
  /** How rows become text. */
  prompt: PromptChoice;
  /** Which prompts the run answers on its way. */
  samples: SampleChoice;
  /** What stands in fields whose text is not an allowed value, by key. */
  invalid: Partial<Record<FieldKey, string>>;
  set<K extends FieldKey>(key: K, value: HParams[K]): void;
  setInvalid(key: FieldKey, problem: string | null): void;
  replace(hparams: HParams): void;
  choosePreset(id: PresetId): void;
  /** Takes the preset that suits a model, unless the visitor has chosen already. */
  suggestPreset(id: PresetId): void;
  reset(key: FieldKey): void;
  setEvalFraction(fraction: number): void;
  setSplitBy(by: Split['by']): void;
  setPrompt(change: Partial<PromptChoice>): void;
  setSamples(change: Partial<SampleChoice>): void;
}

const copy = (hparams: HParams): HParams => ({ ...hparams, target_modules: [...hparams.target_modules] });
const without = (invalid: SettingsState['invalid'], key: FieldKey) => {
  const { [key]: _, ...rest } = invalid;
  return rest;
};

export const DEFAULT_PRESET: PresetId = 'standard';

export const useSettings = create<SettingsState>()(
  persist(
    (set) => ({
      presetId: DEFAULT_PRESET,
      touched: false,
      hparams: copy(presetById(DEFAULT_PRESET).hparams),
      evalFraction: 0.1,
      splitBy: 'prompt',
      prompt: DEFAULT_PROMPT,
      samples: DEFAULT_SAMPLE_CHOICE,
      invalid: {},
      set: (key, value) =>
        set((state) => ({
          touched: true,
          hparams: { ...state.hparams, [key]: value },
          invalid: without(state.invalid, key),
        })),
      setInvalid: (key, problem) =>
        set((state) => ({
          invalid: problem === null ? without(state.invalid, key) : { ...state.invalid, [key]: problem },
        })),
      replace: (hparams) => set({ touched: true, hparams: copy(hparams), invalid: {} }),
      choosePreset: (id) => set({ touched: true, presetId: id, hparams: copy(presetById(id).hparams), invalid: {} }),
      suggestPreset: (id) =>
        set((state) => (state.touched ? {} : { presetId: id, hparams: copy(presetById(id).hparams), invalid: {} })),
      reset: (key) =>
        set((state) => ({
          hparams: copy({ ...state.hparams, [key]: presetById(state.presetId).hparams[key] }),
          invalid: without(state.invalid, key),
        })),
      setEvalFraction: (evalFraction) => set({ evalFraction }),
      setSplitBy: (splitBy) => set({ splitBy }),
      setPrompt: (change) => set((state) => ({ prompt: { ...state.prompt, ...change } })),
      setSamples: (change) => set((state) => ({ samples: { ...state.samples, ...change } })),
    }),
    {
      name: 'orpo-studio.settings',
      storage: createJSONStorage(() => localStorage),
      version: 1,
      partialize: ({ presetId, touched, hparams, evalFraction, splitBy, prompt, samples }) => ({
        presetId,
        touched,
        hparams,
        evalFraction,
        splitBy,
        prompt,
        samples,
      }),
      // What an earlier version stored may lack a setting, or hold a value that is no longer allowed.
      merge: (stored, current) => {
        const old = (stored ?? {}) as Partial<SettingsState>;
        const presetId = old.presetId ? presetById(old.presetId).id : current.presetId;
        const hparams: Record<string, unknown> = { ...copy(presetById(presetId).hparams) };
        const kept = (old.hparams ?? {}) as unknown as Record<string, unknown>;
        for (const field of FIELDS) {
          if (field.key in kept && checkField(field, kept[field.key]) === null) hparams[field.key] = kept[field.key];
        }
        const share = old.evalFraction;
        const evalFraction = typeof share === 'number' && share >= 0 && share <= 0.5 ? share : current.evalFraction;
        const touched = old.touched === true;
        const splitBy: Split['by'] = old.splitBy === 'row' ? 'row' : 'prompt';
        const prompt = isPromptChoice(old.prompt) ? old.prompt : current.prompt;
        const samples = storedSamples(old.samples) ?? current.samples;
        const parts = { presetId, touched, evalFraction, splitBy, prompt, samples };
        return { ...current, ...parts, hparams: hparams as unknown as HParams };
      },
    },
  ),
);

/** What tokens depend on. */
export function dataSettings(): DataSettings {
  const { hparams, prompt } = useSettings.getState();
  return { hparams, prompt };
}

/** Which prompts the next run answers on its way. */
export function sampleSettings(): SampleSettings {
  const { samples } = useSettings.getState();
  return resolveSamples(samples, useDevice.getState().info?.isSoftware !== false);
}

/** All that a run depends on beside model and rows. */
export function runSettings(): Settings {
  const { hparams, evalFraction, splitBy, prompt } = useSettings.getState();
  const samples = sampleSettings();
  return { hparams, evalFraction, splitBy, prompt, ...(samples.sample_steps > 0 && { samples }) };
}
