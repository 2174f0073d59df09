/** The choices of each setting that is a choice, with a word on each. */

export interface Choice {
  value: string;
  label: string;
}

export const SCHEDULERS: Choice[] = [
  { value: 'linear', label: 'linear: falls in a straight line to 0' },
  { value: 'cosine', label: 'cosine: falls slowly, then fast, then slowly' },
  { value: 'constant', label: 'constant: the same throughout' },
  { value: 'constant_with_warmup', label: 'constant_with_warmup: rises, then stays' },
  { value: 'inverse_sqrt', label: 'inverse_sqrt: falls with the root of the step' },
];

export const OPTIMIZERS: Choice[] = [
  { value: 'adamw_torch', label: 'adamw_torch: weight decay before the update' },
  { value: 'adamw_bnb_32bit', label: 'adamw_bnb_32bit: weight decay after the update' },
  { value: 'adamw_8bit', label: 'adamw_8bit: moments in a byte each, as bitsandbytes' },
];

export const TRUNCATIONS: Choice[] = [
  { value: 'sane', label: 'sane: prompt shortened first, EOS kept' },
  { value: 'classic', label: 'classic: as TRL up to 0.27' },
  { value: 'trl1', label: 'trl1: as TRL from 0.28 (broken)' },
  { value: 'independent', label: 'independent: prompt whole, each answer cut' },
  { value: 'none', label: 'none: nothing is cut' },
];

export const TRUNCATION_MODES: Choice[] = [
  { value: 'keep_end', label: 'keep_end: the last tokens' },
  { value: 'keep_start', label: 'keep_start: the first tokens' },
];
