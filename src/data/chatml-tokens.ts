/**
 * ChatML for a model that does not know it, as TRL's setup_chat_format prepares the tokenizer (spec 4.1): the marks
 * <|im_start|> and <|im_end|> become tokens, BOS, EOS and padding change to them, and the chat template is ChatML's.
 *
 * The embedding and the head need a row for each new token; that is the model's side.
 */
import { type ModelFiles, memorySource, readJson } from '../formats/bytes';
import { TokenizerError } from './tokenizer';

export const CHATML_TEMPLATE =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

const MARKS = ['<|im_start|>', '<|im_end|>'] as const;
const RESERVED = /^<\|reserved_special_token_\d+\|>$/;
const SPECIAL_MAP = 'special_tokens_map.json';

export interface ChatmlTokens {
  /** The model's files with a changed tokenizer.json, tokenizer_config.json and chat_template.jinja. */
  files: ModelFiles;
  bosTokenId: number;
  eosTokenId: number;
  padTokenId: number;
  /** Tokens the vocabulary did not have before; empty when reserved ones were used or the marks were known. */
  newTokens: { id: number; content: string }[];
  /** Rows that the embedding and the head need. */
  vocabSize: number;
}

interface AddedToken {
  id: number;
  content: string;
  special: boolean;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
}

interface TokenizerJson {
  added_tokens?: AddedToken[];
  model?: { vocab?: Record<string, number> | [string, number][] };
}

type Config = Record<string, unknown> & { added_tokens_decoder?: Record<string, unknown> };

function largestId(json: TokenizerJson): number {
  const vocab = json.model?.vocab ?? {};
  // Unigram vocabularies are lists, numbered by place.
  const own = Array.isArray(vocab) ? [vocab.length - 1] : Object.values(vocab);
  let largest = -1;
  for (const id of [...own, ...(json.added_tokens ?? []).map((token) => token.id)]) largest = Math.max(largest, id);
  return largest;
}

function specialToken(id: number, content: string): AddedToken {
  return { id, content, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false };
}

/** How a tokenizer stands to ChatML: it has the marks, could rename reserved tokens, or needs new ones. */
export type ChatmlSupport = 'known' | 'reserved' | 'add';

export function chatmlSupport(specialTokens: readonly string[]): ChatmlSupport {
  if (MARKS.every((mark) => specialTokens.includes(mark))) return 'known';
  return specialTokens.filter((token) => RESERVED.test(token)).length >= MARKS.length ? 'reserved' : 'add';
}

/** Ids for the two marks: known ones, reserved ones that may be renamed, or new ones at the end. */
function placeMarks(json: TokenizerJson, how: 'add' | 'reserved'): { id: number; isNew: boolean }[] {
  const added = json.added_tokens ?? [];
  const reserved = added.filter((token) => RESERVED.test(token.content));
  let next = largestId(json) + 1;
  return MARKS.map((content) => {
    const known = added.find((token) => token.content === content);
    if (known) return { id: known.id, isNew: false };
    if (how === 'add') return { id: next++, isNew: true };
    const free = reserved.shift();
    if (!free) {
      throw new TokenizerError('This tokenizer has no reserved tokens left for ChatML. Add new tokens instead.');
    }
    return { id: free.id, isNew: false };
  });
}

function overlay(files: ModelFiles, texts: Record<string, string>): ModelFiles {
  return {
    names: [...new Set([...files.names, ...Object.keys(texts)])],
    open: (name) =>
      Object.hasOwn(texts, name)
        ? Promise.resolve(memorySource(new TextEncoder().encode(texts[name])))
        : files.open(name),
  };
}

/**
 * A model's files with ChatML's tokens.
 *
 * `add` appends two tokens, as TRL does. `reserved` gives two reserved tokens of Llama 3 the marks' names, so that no
 * weights grow.
 *
 * @throws TokenizerError when `reserved` finds too few reserved tokens.
 */
export async function withChatmlTokens(files: ModelFiles, how: 'add' | 'reserved'): Promise<ChatmlTokens> {
  const json = await readJson<TokenizerJson>(files, 'tokenizer.json');
  const config = files.names.includes('tokenizer_config.json')
    ? await readJson<Config>(files, 'tokenizer_config.json')
    : ({} as Config);
  const before = largestId(json) + 1;
  const places = placeMarks(json, how);
  const tokens = places.map(({ id }, i) => specialToken(id, MARKS[i]));
  const taken = new Set(tokens.map((token) => token.id));
  json.added_tokens = [...(json.added_tokens ?? []).filter((token) => !taken.has(token.id)), ...tokens].sort(
    (a, b) => a.id - b.id,
  );
  if (config.added_tokens_decoder) {
    for (const { id, ...token } of tokens) config.added_tokens_decoder[String(id)] = token;
  }
  const [start, end] = MARKS;
  Object.assign(config, {
    bos_token: start,
    eos_token: end,
    pad_token: end,
    additional_special_tokens: [...MARKS],
    chat_template: CHATML_TEMPLATE,
  });
  const texts: Record<string, string> = {
    'tokenizer.json': JSON.stringify(json),
    'tokenizer_config.json': JSON.stringify(config, null, 2),
    'chat_template.jinja': CHATML_TEMPLATE,
  };
  if (files.names.includes(SPECIAL_MAP)) {
    const map = await readJson<Config>(files, SPECIAL_MAP);
    Object.assign(map, { bos_token: start, eos_token: end, pad_token: end, additional_special_tokens: [...MARKS] });
    texts[SPECIAL_MAP] = JSON.stringify(map, null, 2);
  }
  return {
    files: overlay(files, texts),
    bosTokenId: tokens[0].id,
    eosTokenId: tokens[1].id,
    padTokenId: tokens[1].id,
    newTokens: tokens.filter((_, i) => places[i].isNew).map(({ id, content }) => ({ id, content })),
    vocabSize: Math.max(before, ...tokens.map((token) => token.id + 1)),
  };
}
