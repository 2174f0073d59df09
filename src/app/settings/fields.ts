/** Every setting the page shows: its TRL, transformers or PEFT name, what it does, and what it may be. */
import type { HParams } from '../../worker/protocol';
import { type Choice, OPTIMIZERS, SCHEDULERS, TRUNCATION_MODES, TRUNCATIONS } from './constants';

interface Common {
  title: string;
  about: string;
}
export interface NumberRule {
  kind: 'number';
  integer?: boolean;
  /** Below 1 a share; above it a whole number. */
  shareOrWhole?: boolean;
  min?: number;
  /** The minimum itself is not allowed. */
  above?: number;
  max?: number;
  below?: number;
  /** Values outside the range that have a meaning of their own, e.g. -1 for "off". */
  also?: number[];
}
export type FieldRule =
  | NumberRule
  | { kind: 'choice'; choices: Choice[] }
  | { kind: 'switch' }
  | { kind: 'modules' }
  | { kind: 'token' };

export type FieldKey = keyof HParams;
export type Field = { key: FieldKey } & Common & FieldRule;
export interface FieldGroup {
  id: string;
  title: string;
  fields: Field[];
}

const number = (key: FieldKey, title: string, about: string, rule: Omit<NumberRule, 'kind'>): Field => ({
  key,
  title,
  about,
  kind: 'number',
  ...rule,
});
const whole = (key: FieldKey, title: string, about: string, rule: Omit<NumberRule, 'kind' | 'integer'>): Field =>
  number(key, title, about, { integer: true, ...rule });
const choice = (key: FieldKey, title: string, about: string, choices: Choice[]): Field => ({
  key,
  title,
  about,
  kind: 'choice',
  choices,
});
const toggle = (key: FieldKey, title: string, about: string): Field => ({ key, title, about, kind: 'switch' });
const token = (key: FieldKey, title: string, about: string): Field => ({ key, title, about, kind: 'token' });

export const FIELD_GROUPS: FieldGroup[] = [
  {
    id: 'objective',
    title: 'Objective',
    fields: [
      number('beta', 'Preference weight', 'How much the odds-ratio term counts beside the plain language-model loss.', {
        min: 0,
        max: 10,
      }),
      toggle(
        'nll_on_prompt',
        'Learn the prompt too',
        'Whether the language-model part covers the prompt as well as the chosen answer, as TRL’s does.',
      ),
    ],
  },
  {
    id: 'length',
    title: 'Length of the run',
    fields: [
      number('num_train_epochs', 'Epochs', 'How many times the whole training set is gone through.', {
        above: 0,
        max: 1000,
      }),
      whole(
        'max_steps',
        'Step limit',
        'Ends the run after this many optimizer steps instead; −1 leaves it to the epochs.',
        {
          min: 1,
          max: 10_000_000,
          also: [-1, 0],
        },
      ),
      number(
        'eval_steps',
        'Evaluate every',
        'Steps between two looks at the held-out pairs; below 1 a share of the run, 0 only at the end.',
        { min: 0, max: 10_000_000, shareOrWhole: true },
      ),
      number(
        'save_steps',
        'Save every',
        'Steps between two checkpoints, from which a run goes on after a crash; below 1 a share of the run, 0 only at a pause and at the end.',
        { min: 0, max: 10_000_000, shareOrWhole: true },
      ),
      whole('save_total_limit', 'Checkpoints kept', 'Older checkpoints of the run are deleted.', { min: 1, max: 20 }),
    ],
  },
  {
    id: 'rate',
    title: 'Learning rate',
    fields: [
      number(
        'learning_rate',
        'Learning rate',
        'The size of each step; too high and the loss jumps, too low and nothing moves.',
        {
          above: 0,
          max: 1,
        },
      ),
      choice('lr_scheduler_type', 'Schedule', 'How the rate goes on after warm-up.', SCHEDULERS),
      number('warmup_steps', 'Warm-up', 'Steps over which the rate rises from 0; below 1 it is a share of the run.', {
        min: 0,
        max: 10_000_000,
        shareOrWhole: true,
      }),
    ],
  },
  {
    id: 'batch',
    title: 'Batch',
    fields: [
      whole(
        'per_device_train_batch_size',
        'Pairs per batch',
        'Pairs whose loss is averaged together in one micro-batch.',
        {
          min: 1,
          max: 256,
        },
      ),
      whole(
        'gradient_accumulation_steps',
        'Accumulation',
        'Micro-batches whose gradients are averaged into one step.',
        {
          min: 1,
          max: 1024,
        },
      ),
      whole(
        'per_device_eval_batch_size',
        'Pairs per evaluation batch',
        'The same for held-out pairs; it changes how their means are formed.',
        {
          min: 1,
          max: 256,
        },
      ),
      toggle(
        'shuffle',
        'Shuffle',
        'Takes the pairs in a new random order each epoch, the same order as PyTorch for the same seed.',
      ),
      whole('seed', 'Seed', 'Decides the order of the pairs; the same seed gives the same run.', {
        min: 0,
        max: 4_294_967_295,
      }),
    ],
  },
  {
    id: 'lora',
    title: 'LoRA adapter',
    fields: [
      whole('lora_r', 'Rank', 'Width of the adapter: more can learn more and takes more memory.', { min: 1, max: 512 }),
      number('lora_alpha', 'Alpha', 'Strength of the adapter; it is scaled by alpha divided by the rank.', {
        above: 0,
        max: 4096,
      }),
      toggle(
        'use_rslora',
        'Rank-stabilised',
        'Scales by alpha over the square root of the rank, so that high ranks learn as fast.',
      ),
      toggle(
        'use_dora',
        'DoRA',
        'Learns the length of each weight row apart from its direction: often a little better, somewhat slower.',
      ),
      number(
        'lora_dropout',
        'Dropout',
        'Share of the adapter’s inputs left out at random while training. TRL’s trainer switches it off, whatever is set here; so does “No dropout”. A prompt that both answers share has one draw here, in TRL one for each.',
        { min: 0, below: 1 },
      ),
      toggle('disable_dropout', 'No dropout', 'As TRL’s ORPO trainer has it by default: dropout stays off.'),
      { key: 'target_modules', title: 'Where', about: 'The projections that get an adapter.', kind: 'modules' },
      whole('init_seed', 'Adapter seed', 'Decides the adapter’s random start.', { min: 0, max: 4_294_967_295 }),
    ],
  },
  {
    id: 'tokens',
    title: 'Lengths and tokens',
    fields: [
      whole('max_length', 'Longest sequence', 'Tokens of prompt and answer together; what is longer is cut.', {
        min: 8,
        max: 131_072,
      }),
      whole('max_prompt_length', 'Longest prompt', 'Tokens a prompt is cut to when it does not fit.', {
        min: 1,
        max: 131_072,
      }),
      choice('truncation', 'How to cut', 'Which rule shortens pairs that are too long.', TRUNCATIONS),
      choice('truncation_mode', 'What to keep', 'Which end of an over-long prompt is kept.', TRUNCATION_MODES),
      token('bos_token_id', 'Start token', 'Put before each prompt that does not begin with it.'),
      token('eos_token_id', 'End token', 'Put after each answer that does not end with it; teaches the model to stop.'),
      token(
        'pad_token_id',
        'Padding token',
        'Fills up short rows in TRL; here nothing is padded, so it only has to exist.',
      ),
    ],
  },
  {
    id: 'optimizer',
    title: 'Optimizer',
    fields: [
      choice(
        'optim',
        'Optimizer',
        'Which AdamW: the first two differ only under weight decay, the 8-bit one takes a quarter of the memory.',
        OPTIMIZERS,
      ),
      number('max_grad_norm', 'Gradient clip', 'Longer gradients are shortened to this norm; 0 never clips.', {
        min: 0,
        max: 1e6,
      }),
      number('weight_decay', 'Weight decay', 'Pulls the adapter towards zero a little at each step.', {
        min: 0,
        max: 1,
      }),
      number('adam_beta1', 'Adam β₁', 'Memory of the gradient’s mean.', { min: 0, below: 1 }),
      number('adam_beta2', 'Adam β₂', 'Memory of the gradient’s size.', { min: 0, below: 1 }),
      number('adam_epsilon', 'Adam ε', 'Keeps the division by the gradient’s size from blowing up.', {
        above: 0,
        max: 1,
      }),
      toggle(
        'gradient_checkpointing',
        'Recompute layers',
        'Keeps only each layer’s input and computes the rest again going back: slower, far less memory.',
      ),
      whole(
        'keep_bytes',
        'Memory against recomputing',
        'Bytes of GPU memory to spend on values that are then not computed again; −1 lets the plan choose. Changes no result.',
        { min: 0, max: 1e12, also: [-1] },
      ),
    ],
  },
];

export const FIELDS: Field[] = FIELD_GROUPS.flatMap((group) => group.fields);
export const fieldByKey = (key: string): Field | undefined => FIELDS.find((field) => field.key === key);
