/**
 * The tokenizer and chat template of a model, read from its tokenizer.json, tokenizer_config.json and (where present)
 * chat_template.jinja and special_tokens_map.json.
 *
 * Reading and encoding are @huggingface/transformers', loaded on demand; nothing is fetched.
 */
import { type ModelFiles, readJson, readText } from '../formats/bytes';
import { dateVariables, pinTemplateDate } from './pinned-date';
import { independentPrefix } from './segments';
import type { ChatMessage } from './types';

export interface ChatTemplateOptions {
  /** End with what opens an assistant turn. */
  addGenerationPrompt: boolean;
  /** A Jinja template to use instead of the model's own. */
  template?: string;
  /** ISO date for templates that write one; `PINNED_DATE` when absent. */
  date?: string;
  /** Further variables of the template. */
  variables?: Record<string, unknown>;
}

export interface Tokenizer {
  /** Ids of a text. No BOS or EOS is added; special-token strings inside the text become their ids. */
  encode(text: string): number[];
  /** Place in the text up to which `encode` gives the same ids whatever follows; 0 where nothing can be promised. */
  independentPrefix(text: string): number;
  /** Text of ids, special tokens included. */
  decode(ids: readonly number[]): string;
  readonly bosTokenId: number | null;
  readonly eosTokenId: number | null;
  /** Null when the tokenizer names none (the end-of-sequence token is not taken in its place). */
  readonly padTokenId: number | null;
  readonly bosToken: string | null;
  readonly eosToken: string | null;
  /** Ids 0 .. vocabSize-1 are known. */
  readonly vocabSize: number;
  /** The vocabulary's own spelling of a token, e.g. "Ġhello"; "" for an unknown id. */
  tokenText(id: number): string;
  /** True for tokens that are control marks rather than text. */
  isSpecial(id: number): boolean;
  /** Strings of all special tokens. */
  readonly specialTokens: readonly string[];
  readonly hasChatTemplate: boolean;
  /** Source of the model's chat template. */
  readonly chatTemplate: string | null;
  /** Text of a conversation. Throws `ChatTemplateError` when there is no template or it refuses the messages. */
  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions): string;
}

/** The model's tokenizer files are missing or cannot be read. */
export class TokenizerError extends Error {
  override readonly name = 'TokenizerError';
  readonly code = 'bad-tokenizer';
}

/** A chat template is missing, or will not render these messages. */
export class ChatTemplateError extends Error {
  override readonly name = 'ChatTemplateError';
  readonly code = 'bad-chat-template';
}

type Json = Record<string, unknown>;

/** Templates of models that were fitted with several keep the one for plain conversation under "default". */
export function templateOf(config: Json, file: string | null): string | null {
  if (file !== null) return file;
  const own = config.chat_template;
  if (typeof own === 'string') return own === '' ? null : own;
  if (Array.isArray(own)) {
    const entries = own as { name?: unknown; template?: unknown }[];
    const entry = entries.find((e) => e?.name === 'default') ?? entries[0];
    return typeof entry?.template === 'string' ? entry.template : null;
  }
  return null;
}

/** A token of tokenizer_config.json: a string, or an object that holds it. */
export function tokenString(value: unknown): string | null {
  if (typeof value === 'string') return value === '' ? null : value;
  if (value !== null && typeof value === 'object') {
    const { content } = value as { content?: unknown };
    if (typeof content === 'string' && content !== '') return content;
  }
  return null;
}

async function optional<T>(files: ModelFiles, name: string, read: typeof readJson<T>): Promise<T | null> {
  return files.names.includes(name) ? read(files, name) : null;
}

const SPECIAL_KEYS = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
] as const;

/** Reads a model's tokenizer. Throws `TokenizerError` when its files are missing or broken. */
export async function loadTokenizer(files: ModelFiles): Promise<Tokenizer> {
  if (!files.names.includes('tokenizer.json')) {
    throw new TokenizerError(
      'This model has no tokenizer.json, so text cannot be turned into tokens. Choose a model folder that holds one.',
    );
  }
  const json = await readJson<Json>(files, 'tokenizer.json');
  const config = (await optional<Json>(files, 'tokenizer_config.json', readJson)) ?? {};
  const map = (await optional<Json>(files, 'special_tokens_map.json', readJson)) ?? {};
  const jinja = files.names.includes('chat_template.jinja') ? await readText(files, 'chat_template.jinja') : null;
  const special: Partial<Record<(typeof SPECIAL_KEYS)[number], string>> = {};
  for (const key of SPECIAL_KEYS) {
    const text = tokenString(config[key]) ?? tokenString(map[key]);
    if (text !== null) special[key] = text;
  }
  const { PreTrainedTokenizer } = await import('@huggingface/transformers');
  let inner: InstanceType<typeof PreTrainedTokenizer>;
  try {
    inner = new PreTrainedTokenizer(json, { ...config, ...special, chat_template: templateOf(config, jinja) });
  } catch (cause) {
    throw new TokenizerError(`tokenizer.json cannot be used: ${(cause as Error).message}`, { cause });
  }

  const texts: string[] = [];
  for (const [text, id] of inner.get_vocab() as Map<string, number>) texts[id] = text;
  const added = inner._tokenizer.get_added_tokens_decoder() as Map<number, { content: string; special: boolean }>;
  for (const [id, token] of added) texts[id] = token.content;
  const ids = new Map(texts.map((text, id) => [text, id] as const));
  const idOf = (text: string | undefined): number | null => (text === undefined ? null : (ids.get(text) ?? null));
  const specialIds = new Set<number>();
  for (const [id, token] of added) if (token.special) specialIds.add(id);
  const chatTemplate = templateOf(config, jinja);

  return {
    encode: (text) => (text === '' ? [] : inner.encode(text, { add_special_tokens: false })),
    independentPrefix: independentPrefix(json),
    decode: (list) =>
      list.length === 0
        ? ''
        : inner.decode([...list], { skip_special_tokens: false, clean_up_tokenization_spaces: false }),
    bosTokenId: idOf(special.bos_token),
    eosTokenId: idOf(special.eos_token),
    padTokenId: idOf(special.pad_token),
    bosToken: special.bos_token ?? null,
    eosToken: special.eos_token ?? null,
    vocabSize: texts.length,
    tokenText: (id) => texts[id] ?? '',
    isSpecial: (id) => specialIds.has(id),
    specialTokens: [...specialIds].map((id) => texts[id]),
    hasChatTemplate: chatTemplate !== null,
    chatTemplate,
    applyChatTemplate: (messages, { addGenerationPrompt, template, date, variables }) => {
      const source = template ?? chatTemplate;
      if (source === null) {
        throw new ChatTemplateError('This model has no chat template. Choose another prompt format.');
      }
      try {
        return inner.apply_chat_template([...messages], {
          tokenize: false,
          add_generation_prompt: addGenerationPrompt,
          chat_template: pinTemplateDate(source),
          ...dateVariables(date),
          ...variables,
        } as never) as unknown as string;
      } catch (cause) {
        throw new ChatTemplateError(`The chat template refused the conversation: ${(cause as Error).message}`, {
          cause,
        });
      }
    },
  };
}
