/** The prompt formats on offer, and what each does. */
import type { PromptChoice } from '../../worker/protocol';

/** The date that Llama 3.1's template falls back to. */
export const PINNED_DATE = '2024-07-26';

export const DEFAULT_PROMPT: PromptChoice = { format: 'auto', system: '', date: PINNED_DATE, template: '' };

export interface FormatOffer {
  value: PromptChoice['format'];
  /** In lists. */
  title: string;
  /** In the rail and on the run's card. */
  short: string;
  about: string;
}

export const FORMATS: readonly FormatOffer[] = [
  {
    value: 'auto',
    title: 'Automatic',
    short: 'automatic',
    about:
      'The model’s own chat template where it has one and the rows are not in a chat layout already; otherwise the rows as they are.',
  },
  {
    value: 'chat-template',
    title: 'The model’s chat template',
    short: 'chat template',
    about: 'What the model was tuned with. Needs a model that has one.',
  },
  {
    value: 'llama-3',
    title: 'Llama 3',
    short: 'Llama 3',
    about: 'Header, blank line, text and <|eot_id|> for each turn, without a date. For Llama 3 models.',
  },
  {
    value: 'chatml',
    title: 'ChatML',
    short: 'ChatML',
    about:
      'The text of TRL’s setup_chat_format. A model that does not know <|im_start|> and <|im_end|> can be opened with them.',
  },
  {
    value: 'alpaca',
    title: 'Alpaca',
    short: 'Alpaca',
    about: 'Plain headings, “### Instruction:” and “### Response:”. Works with any model.',
  },
  {
    value: 'as-is',
    title: 'As they are',
    short: 'as is',
    about: 'No marks at all: the answer follows the prompt. For base models and for rows that are in a layout already.',
  },
  {
    value: 'custom',
    title: 'A Jinja template of your own',
    short: 'own template',
    about: 'Written as Hugging Face chat templates are, with messages, add_generation_prompt, bos_token and eos_token.',
  },
];

export const formatOffer = (value: string): FormatOffer => FORMATS.find((offer) => offer.value === value) ?? FORMATS[0];

/** Accepts anything, since it may come from an earlier version's storage. */
export function isPromptChoice(value: unknown): value is PromptChoice {
  if (typeof value !== 'object' || value === null) return false;
  const { format, system, date, template } = value as Record<string, unknown>;
  return (
    FORMATS.some((offer) => offer.value === format) &&
    typeof system === 'string' &&
    typeof date === 'string' &&
    /^(\d{4}-(0[1-9]|1[0-2])-\d{2})?$/.test(date) &&
    typeof template === 'string'
  );
}
