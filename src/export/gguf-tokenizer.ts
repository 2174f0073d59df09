/** A tokenizer.json as GGUF's metadata, in the terms of llama.cpp's convert_hf_to_gguf.py and gguf-py's SpecialVocab. */
import { templateOf, tokenString } from '../data/tokenizer';
import { type ModelFiles, readJson, readText } from '../formats/bytes';
import type { GgufValue } from '../formats/gguf';
import { ExportError } from './errors';

/** llama.cpp's token types. */
const TOKEN = { NORMAL: 1, UNKNOWN: 2, CONTROL: 3, USER_DEFINED: 4, UNUSED: 5, BYTE: 6 } as const;

interface PreTokenizer {
  type: string;
  pattern?: { Regex?: string };
  individual_digits?: boolean;
  use_regex?: boolean;
  prepend_scheme?: string;
  add_prefix_space?: boolean;
  pretokenizers?: PreTokenizer[];
}

interface Normalizer {
  type: string;
  prepend?: string;
  normalizers?: Normalizer[];
}

interface PostProcessor {
  type: string;
  single?: { SpecialToken?: { id: string } }[];
  processors?: PostProcessor[];
}

interface TokenizerJson {
  added_tokens?: { id: number; content: string; special: boolean }[];
  normalizer?: Normalizer | null;
  pre_tokenizer?: PreTokenizer | null;
  post_processor?: PostProcessor | null;
  model: {
    type: string;
    vocab: Record<string, number>;
    merges?: (string | [string, string])[];
    unk_token?: string | null;
    byte_fallback?: boolean;
  };
}

type Config = Record<string, unknown>;

/** The split of Llama 3's tokenizer, by which llama.cpp's `llama-bpe` goes. */
const LLAMA3_SPLIT =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const parts = <T extends { type: string }>(whole: T | null | undefined, inner: (whole: T) => T[] | undefined): T[] =>
  whole ? (inner(whole) ?? [whole]) : [];

/** llama.cpp's name of the way in which text is split before its merges. Throws for one that it has no name for here. */
function preTokenizerName(json: TokenizerJson): string {
  const steps = parts(json.pre_tokenizer, (p) => p.pretokenizers);
  const types = steps.map(({ type }) => type).join(' ');
  if (types === 'Split ByteLevel' && steps[0].pattern?.Regex === LLAMA3_SPLIT) return 'llama-bpe';
  if (types === 'Digits ByteLevel' && steps[0].individual_digits && steps[1].use_regex !== false) return 'smollm';
  if (types === 'ByteLevel' && steps[0].use_regex !== false) return 'gpt-2';
  throw new ExportError(
    'gguf-tokenizer',
    'This model splits text in a way that is not known to fit any of llama.cpp’s. Export safetensors, and convert them with llama.cpp’s convert_hf_to_gguf.py.',
  );
}

const looksSpecial = (text: string): boolean => /^<\|.*\|>$/su.test(text) || text === '<pad>' || text === '<mask>';

/** Text and type of every token id; ids without a token are filled up, as the embedding has rows for them. */
function tokenTable(json: TokenizerJson, vocabSize: number, spm: boolean): { text: string; type: number }[] {
  const { vocab, unk_token: unknown } = json.model;
  const table = Array.from({ length: vocabSize }, (_, i) => ({ text: `[PAD${i}]`, type: TOKEN.UNUSED as number }));
  const put = (id: number, text: string, type: number) => {
    if (id >= vocabSize) {
      throw new ExportError(
        'gguf-tokenizer',
        `The tokenizer has token ${id}, but config.json says that there are ${vocabSize}. Get the model's files again.`,
      );
    }
    table[id] = { text, type };
  };
  for (const [text, id] of Object.entries(vocab)) {
    const byte = spm && /^<0x[0-9A-Fa-f]{2}>$/u.test(text);
    put(id, text, byte ? TOKEN.BYTE : spm && text === unknown ? TOKEN.UNKNOWN : TOKEN.NORMAL);
  }
  for (const { id, content, special } of json.added_tokens ?? []) {
    if (spm && content === unknown) put(id, content, TOKEN.UNKNOWN);
    else if (special || looksSpecial(content)) put(id, content, TOKEN.CONTROL);
    else put(id, content.replaceAll('▁', ' '), TOKEN.USER_DEFINED);
  }
  return table;
}

const mergePairs = (json: TokenizerJson): [string, string][] =>
  (json.model.merges ?? []).map((merge) =>
    typeof merge === 'string' ? (merge.split(' ') as [string, string]) : merge,
  );

/**
 * SentencePiece's scores, from which llama.cpp takes the order of merges. tokenizer.json has only that order, so a piece
 * gets minus the place of the first merge that makes it; single characters come after all.
 */
function scores(json: TokenizerJson, table: readonly { text: string; type: number }[]): number[] {
  const made = new Map<string, number>();
  for (const [i, [a, b]] of mergePairs(json).entries()) if (!made.has(a + b)) made.set(a + b, -i);
  const last = -mergePairs(json).length;
  return table.map(({ text, type }, id) => {
    if (type === TOKEN.NORMAL) return made.get(text) ?? last - id;
    return type === TOKEN.USER_DEFINED || type === TOKEN.UNUSED ? -1000 : 0;
  });
}

/** Whether a BOS is put before (or an EOS behind) a text: what the files say outright, or their template for one text. */
function addsToken(json: TokenizerJson, config: Config, which: 'bos' | 'eos'): boolean | null {
  const said = config[`add_${which}_token`];
  if (typeof said === 'boolean') return said;
  const template = parts(json.post_processor, (p) => p.processors).find(({ type }) => type === 'TemplateProcessing');
  if (!template?.single || template.single.length < 2) return null;
  const end = which === 'bos' ? template.single[0] : template.single.at(-1);
  return end?.SpecialToken ? end.SpecialToken.id === tokenString(config[`${which}_token`]) : null;
}

/** Metadata of the tokenizer and the chat template. Throws {@link ExportError} `gguf-tokenizer`. */
export async function ggufTokenizer(
  files: ModelFiles,
  modelConfig: Config,
  vocabSize: number,
): Promise<Map<string, GgufValue>> {
  const json = await readJson<TokenizerJson>(files, 'tokenizer.json');
  const config = files.names.includes('tokenizer_config.json')
    ? await readJson<Config>(files, 'tokenizer_config.json')
    : {};
  if (json.model?.type !== 'BPE') {
    throw new ExportError(
      'gguf-tokenizer',
      `A tokenizer of type ${json.model?.type} cannot be written as GGUF; BPE can. Export safetensors instead.`,
    );
  }
  const spm = json.model.byte_fallback === true;
  const table = tokenTable(json, vocabSize, spm);
  const out = new Map<string, GgufValue>();
  const set = (key: string, value: GgufValue) => out.set(`tokenizer.${key}`, value);
  set('ggml.model', { type: 'string', value: spm ? 'llama' : 'gpt2' });
  set('ggml.pre', { type: 'string', value: spm ? 'default' : preTokenizerName(json) });
  set('ggml.tokens', { type: 'array', of: 'string', value: table.map(({ text }) => text) });
  if (spm) set('ggml.scores', { type: 'array', of: 'f32', value: scores(json, table) });
  set('ggml.token_type', { type: 'array', of: 'i32', value: table.map(({ type }) => type) });
  if (!spm) {
    // A space within a token is written as byte-level BPE writes it.
    const merges = mergePairs(json).map((pair) => pair.map((part) => part.replaceAll(' ', 'Ġ')).join(' '));
    set('ggml.merges', { type: 'array', of: 'string', value: merges });
  }
  const ids = new Map(table.map(({ text }, id) => [text, id]));
  for (const [token, key] of Object.entries({ bos: 'bos', eos: 'eos', unk: 'unknown', pad: 'padding' })) {
    const text = tokenString(config[`${token}_token`]);
    const [fallback] = [modelConfig[`${token}_token_id`]].flat();
    const id = text === null ? fallback : ids.get(text);
    if (typeof id === 'number') set(`ggml.${key}_token_id`, { type: 'u32', value: id });
  }
  for (const which of ['bos', 'eos'] as const) {
    const adds = addsToken(json, config, which);
    if (adds !== null) set(`ggml.add_${which}_token`, { type: 'bool', value: adds });
  }
  if (spm) set('ggml.add_space_prefix', { type: 'bool', value: prependsSpace(json) });
  const jinja = files.names.includes('chat_template.jinja') ? await readText(files, 'chat_template.jinja') : null;
  const template = templateOf(config, jinja);
  if (template !== null) set('chat_template', { type: 'string', value: template });
  return out;
}

function prependsSpace(json: TokenizerJson): boolean {
  const normalizers = parts(json.normalizer, (n) => n.normalizers);
  if (normalizers.some(({ type, prepend }) => type === 'Prepend' && prepend === '▁')) return true;
  return parts(json.pre_tokenizer, (p) => p.pretokenizers).some(
    ({ type, prepend_scheme: scheme, add_prefix_space: adds }) =>
      type === 'Metaspace' && (scheme ? scheme !== 'never' : adds !== false),
  );
}
