/** Starting points for the settings. */
import { DEFAULT_HPARAMS, type HParams } from '../../worker/protocol';

export type PresetId = 'quick' | 'gentle' | 'standard' | 'strong';

export interface Preset {
  id: PresetId;
  title: string;
  about: string;
  /** The three numbers that make it what it is. */
  facts: string;
  hparams: HParams;
}

const preset = (id: PresetId, title: string, about: string, facts: string, changes: Partial<HParams>): Preset => ({
  id,
  title,
  about,
  facts,
  // TRL's own rules cut answers short without a word; the command line keeps them as its default.
  hparams: { ...DEFAULT_HPARAMS, truncation: 'sane', target_modules: [...DEFAULT_HPARAMS.target_modules], ...changes },
});

export const PRESETS: readonly Preset[] = [
  preset(
    'quick',
    'Quick try',
    'Twenty-four short steps at a high rate: see every curve move in a minute. For small models, or to check a data set.',
    'lr 1e-3 · 24 steps · rank 8',
    {
      learning_rate: 1e-3,
      max_steps: 24,
      warmup_steps: 2,
      gradient_accumulation_steps: 2,
      max_length: 400,
      max_prompt_length: 128,
      eval_steps: 0.25,
      lora_r: 8,
      lora_alpha: 16,
    },
  ),
  preset(
    'gentle',
    'Gentle',
    'The low rate that ORPO’s authors use: keeps a good chat model as it is and nudges its preferences.',
    'lr 8e-6 · 1 epoch · β 0.1',
    { learning_rate: 8e-6, warmup_steps: 0.1, eval_steps: 0.2 },
  ),
  preset(
    'standard',
    'Standard',
    'A rate that LoRA likes, over one pass of the data. The place to start with a real model and your own pairs.',
    'lr 5e-5 · 1 epoch · β 0.1',
    { learning_rate: 5e-5, warmup_steps: 0.1, lr_scheduler_type: 'cosine', eval_steps: 0.2 },
  ),
  preset(
    'strong',
    'Strong',
    'Higher rate, larger adapter, three passes: for a marked change of style, or few pairs. Watch the held-out loss.',
    'lr 2e-4 · 3 epochs · β 0.2',
    {
      learning_rate: 2e-4,
      warmup_steps: 0.05,
      lr_scheduler_type: 'cosine',
      num_train_epochs: 3,
      beta: 0.2,
      lora_r: 32,
      lora_alpha: 64,
      eval_steps: 0.1,
    },
  ),
];

export const presetById = (id: PresetId): Preset => PRESETS.find((p) => p.id === id) ?? PRESETS[2];
