import { beforeAll, describe, expect, it } from 'vitest';
import { ChatTemplateError, loadTokenizer, type Tokenizer, TokenizerError } from '../../src/data/tokenizer';
import { fixtureTokenizer } from './support';

describe('a Llama-3 style tokenizer with a chat template', () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await fixtureTokenizer('pocket-15m');
  });

  it('adds nothing of its own and reads special-token strings as ids', () => {
    const ids = tokenizer.encode('<|begin_of_text|>Hello<|eot_id|>');
    expect(ids[0]).toBe(tokenizer.bosTokenId);
    expect(ids.at(-1)).toBe(tokenizer.eosTokenId);
    expect(tokenizer.encode('Hello')).toEqual(ids.slice(1, -1));
    expect(tokenizer.encode('')).toEqual([]);
  });

  it('decodes what it encodes, whatever the script', () => {
    for (const text of ['Hello, world', '你好，世界', 'مرحبا بالعالم', '👩‍🚀🇩🇪 é é', ' \n\n\t x  y']) {
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
    expect(tokenizer.decode([])).toBe('');
  });

  it('names its tokens', () => {
    expect(tokenizer.tokenText(tokenizer.eosTokenId ?? -1)).toBe('<|eot_id|>');
    expect(tokenizer.padTokenId).toBe(8180);
    expect(tokenizer.isSpecial(8185)).toBe(true);
    expect(tokenizer.isSpecial(tokenizer.encode('H')[0])).toBe(false);
    expect(tokenizer.tokenText(10 ** 9)).toBe('');
    expect(tokenizer.vocabSize).toBe(8192);
  });

  it('renders conversations', () => {
    const messages = [{ role: 'user', content: ' Hi ' }];
    expect(tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true })).toBe(
      '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
    );
    expect(tokenizer.applyChatTemplate(messages, { addGenerationPrompt: false })).toBe(
      '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>',
    );
  });

  it('pins the date of templates that write one', () => {
    const template = '{{ date_string }}/{{ strftime_now("%d %b %Y") }}';
    const at = (date?: string) => tokenizer.applyChatTemplate([], { addGenerationPrompt: false, template, date });
    expect(at()).toBe('26 Jul 2024/26 Jul 2024');
    expect(at('2025-12-01')).toBe('01 Dec 2025/01 Dec 2025');
  });

  it('names what a template refuses', () => {
    const template = "{{ raise_exception('no system turn, please') }}";
    expect(() => tokenizer.applyChatTemplate([], { addGenerationPrompt: false, template })).toThrow(ChatTemplateError);
    expect(() => tokenizer.applyChatTemplate([], { addGenerationPrompt: false, template })).toThrow(/no system turn/);
    expect(() => tokenizer.applyChatTemplate([], { addGenerationPrompt: false, template: '{% if %}' })).toThrow(
      ChatTemplateError,
    );
  });
});

describe('a SentencePiece style tokenizer without a template', () => {
  it('says so', async () => {
    const tokenizer = await fixtureTokenizer('stories-260k');
    expect(tokenizer.hasChatTemplate).toBe(false);
    expect(tokenizer.padTokenId).toBeNull();
    expect([tokenizer.bosTokenId, tokenizer.eosTokenId]).toEqual([1, 2]);
    expect(() => tokenizer.applyChatTemplate([], { addGenerationPrompt: true })).toThrow(ChatTemplateError);
  });
});

describe('broken files', () => {
  const files = (contents: Record<string, string>) => ({
    names: Object.keys(contents),
    open: async (name: string) => {
      const bytes = new TextEncoder().encode(contents[name]);
      return { size: bytes.length, read: async (begin: number, end: number) => bytes.slice(begin, end) };
    },
  });

  it('are named', async () => {
    await expect(loadTokenizer(files({}))).rejects.toThrow(TokenizerError);
    await expect(loadTokenizer(files({ 'tokenizer.json': '{' }))).rejects.toThrow(/tokenizer\.json/);
    await expect(loadTokenizer(files({ 'tokenizer.json': '{}' }))).rejects.toThrow(TokenizerError);
  });
});
