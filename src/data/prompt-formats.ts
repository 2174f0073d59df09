/** The layouts in which a conversation becomes text. All but the model's own and a custom template are written out here. */
import type { ChatMessage } from './types';

export const PROMPT_FORMATS = ['chat-template', 'llama-3', 'chatml', 'alpaca', 'as-is', 'custom'] as const;
/**
 * `chat-template`: the model's own. `llama-3`: Llama 3's (no date). `chatml`: that of TRL's setup_chat_format.
 * `as-is`: no marks at all. `custom`: a Jinja template given in the settings.
 */
export type PromptFormat = (typeof PROMPT_FORMATS)[number];

/** Text of the turns; with `open`, ended by what opens an assistant turn. */
export type Layout = (messages: readonly ChatMessage[], open: boolean) => string;

/** Llama 3: BOS, then header, trimmed content and end mark of each turn (spec 8). */
export const llama3: Layout = (messages, open) => {
  const head = (role: string) => `<|start_header_id|>${role}<|end_header_id|>\n\n`;
  const turns = messages.map(({ role, content }) => `${head(role)}${content.trim()}<|eot_id|>`);
  return `<|begin_of_text|>${turns.join('')}${open ? head('assistant') : ''}`;
};

/** ChatML as TRL's setup_chat_format writes it: nothing trimmed, no BOS text, a line break after each turn (spec 4.1). */
export const chatml: Layout = (messages, open) => {
  const turns = messages.map(({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>\n`);
  return `${turns.join('')}${open ? '<|im_start|>assistant\n' : ''}`;
};

const ALPACA =
  'Below is an instruction that describes a task. Write a response that appropriately completes the request.';
const ALPACA_INPUT =
  'Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.';

/** Stanford Alpaca's layout; a system turn takes the place of its first sentence. */
export const alpaca: Layout = (messages, open) => {
  const system = messages[0]?.role === 'system' ? messages[0].content.trim() : '';
  const turns = messages[0]?.role === 'system' ? messages.slice(1) : messages;
  const parts = turns.map(({ role, content }) =>
    role === 'assistant' ? `### Response:\n${content}` : `### Instruction:\n${content}`,
  );
  return [system === '' ? ALPACA : system, ...parts, ...(open ? ['### Response:\n'] : [])].join('\n\n');
};

/** Alpaca's prompt for an instruction with an input of its own. */
export function alpacaPrompt(instruction: string, input: string, system: string): string {
  const preamble = system.trim() !== '' ? system.trim() : input.trim() === '' ? ALPACA : ALPACA_INPUT;
  const middle = input.trim() === '' ? '' : `### Input:\n${input}\n\n`;
  return `${preamble}\n\n### Instruction:\n${instruction}\n\n${middle}### Response:\n`;
}

/** No marks: the turns one under the other, the answer on the next line. */
export const plain: Layout = (messages, open) => {
  const text = messages.map(({ content }) => content).join('\n\n');
  return open && text !== '' && !/\s$/.test(text) ? `${text}\n` : text;
};
