import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { findDuplicates, withoutRows } from '../../src/data/duplicates';
import { parsePreferenceData } from '../../src/data/parse';
import { Preparer, preparedStream } from '../../src/data/prepare';
import { renderRows } from '../../src/data/render';
import type { PreferenceRow, SourceRow } from '../../src/data/types';
import { renderedWarnings, sourceWarnings } from '../../src/data/warnings';
import { fixtureTokenizer, readJsonl, streamOf } from './support';

const row = (prompt: string, chosen: string, rejected = 'No.', line = 1): SourceRow => ({
  form: 'text',
  prompt,
  chosen,
  rejected,
  line,
});
const politeness = () => {
  const bytes = readFileSync(new URL('../../public/data/politeness.json', import.meta.url));
  return parsePreferenceData(streamOf(new Uint8Array(bytes), 65536), { name: 'politeness.json' });
};

describe('warnings', () => {
  it('finds nothing in sound sets', async () => {
    const tokenizer = await fixtureTokenizer('pocket-15m');
    const { rows } = await politeness();
    const settings = { format: 'chat-template' } as const;
    expect(sourceWarnings(rows, settings, tokenizer).filter((warning) => warning.code !== 'prompt-in-answer')).toEqual(
      [],
    );
    const rendered = renderRows(rows, settings, tokenizer).rows;
    expect(renderedWarnings(rendered, settings, tokenizer, { bos: 8176, eos: 8185 })).toEqual([]);
    // Already rendered rows, used as they are, are sound as well.
    const finished = readJsonl<PreferenceRow>('pocket-15m/train.jsonl.gz').map((r) => ({
      ...r,
      form: 'text' as const,
      line: 1,
    }));
    expect(sourceWarnings(finished, { format: 'as-is' }, tokenizer)).toEqual([]);
  });

  it('sees doubled prompts, doubled templates, foreign marks and special tokens', async () => {
    const tokenizer = await fixtureTokenizer('pocket-15m');
    const codes = (rows: SourceRow[], format: 'as-is' | 'chat-template' | 'chatml') =>
      sourceWarnings(rows, { format }, tokenizer).map(({ code, lines }) => [code, lines]);
    expect(codes([row('What is two plus two?', 'What is two plus two? Four.', 'No.', 7)], 'as-is')).toEqual([
      ['prompt-in-answer', [7]],
    ]);
    const finished = row('<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>', 'Yes.');
    expect(codes([finished], 'as-is')).toEqual([]);
    expect(codes([finished], 'chat-template')).toEqual([['template-twice', [1]]]);
    expect(codes([row('<|im_start|>user\nHi<|im_end|>\n', 'Yes.')], 'as-is')).toEqual([['foreign-marks', [1]]]);
    expect(codes([row('[INST] Hi [/INST]', 'Yes.')], 'chat-template')).toEqual([
      ['template-twice', [1]],
      ['foreign-marks', [1]],
    ]);
    expect(codes([row('Explain <|eot_id|> to me', 'Yes.')], 'as-is')).toEqual([['special-tokens-in-text', [1]]]);
  });

  it('sees the prompt in answers of conversations', () => {
    const content = 'Tell me about ducks, please.';
    const chat: SourceRow = {
      ...row(content, ''),
      form: 'chat',
      chat: {
        prompt: [{ role: 'user', content }],
        chosen: [{ role: 'assistant', content: `${content} They swim.` }],
        rejected: [{ role: 'assistant', content: 'No.' }],
      },
    };
    expect(sourceWarnings([chat], { format: 'as-is' }, null).map((warning) => warning.code)).toEqual([
      'prompt-in-answer',
    ]);
  });

  it('sees BOS and EOS doubled or missing, and marks that are no tokens', async () => {
    const tokenizer = await fixtureTokenizer('pocket-15m');
    const ids = { bos: 8176, eos: 8185 };
    const codes = (rows: SourceRow[], format: 'as-is' | 'chatml', some: { bos: number | null; eos: number | null }) =>
      renderedWarnings(rows, { format }, tokenizer, some).map((warning) => warning.code);
    const bos = '<|begin_of_text|>';
    expect(codes([row(`${bos}${bos}Hi`, 'Yes.')], 'as-is', ids)).toEqual(['double-bos']);
    expect(codes([row('Hi', 'Yes.<|eot_id|>')], 'as-is', ids)).toEqual([]);
    expect(codes([row('Hi', 'Yes.<|eot_id|>\n')], 'as-is', ids)).toEqual(['double-eos']);
    expect(codes([row('Hi', 'Yes.<|eot_id|><|eot_id|>')], 'as-is', ids)).toEqual(['double-eos']);
    expect(codes([row('Hi', 'Yes.')], 'as-is', { bos: null, eos: null })).toEqual(['no-eos']);
    expect(codes([], 'chatml', ids)).toEqual(['marks-not-tokens']);
  });
});

describe('duplicates', () => {
  it('finds repeated rows, contradictions and repeated prompts', () => {
    const rows = [
      row('P', 'a', 'b', 1),
      row('P', 'a', 'b', 2),
      row('P', 'b', 'a', 3),
      row('P', 'a', 'c', 4),
      row('Q', 'a', 'b', 5),
    ];
    const found = findDuplicates(rows);
    expect(found).toEqual({ repeated: [1], reversed: [2], repeatedPrompts: 1, rowsOfRepeatedPrompts: 4 });
    expect(withoutRows(rows, found.repeated).map((one) => one.line)).toEqual([1, 3, 4, 5]);
  });

  it('agrees with a plain count on a real set', async () => {
    const { rows } = await politeness();
    const found = findDuplicates(rows);
    const texts = rows.map((one) => JSON.stringify([one.prompt, one.chosen, one.rejected]));
    expect(found.repeated.length).toBe(texts.length - new Set(texts).size);
    const prompts = new Map<string, number>();
    for (const { prompt } of rows) prompts.set(prompt, (prompts.get(prompt) ?? 0) + 1);
    expect(found.repeatedPrompts).toBe([...prompts.values()].filter((count) => count > 1).length);
    expect(found.repeatedPrompts).toBeGreaterThan(0);
  });
});

describe('prepared rows', () => {
  it('are the lines that TRL reads, without what cannot be trained', async () => {
    const rows = [row('P ', 'a', 'b', 1), row('P ', 'a', 'b', 2), row('x '.repeat(50), 'a', 'b', 3)];
    const tokenizer = await fixtureTokenizer('stories-260k');
    const settings = {
      truncation: 'sane',
      truncation_mode: 'keep_end',
      max_length: 16,
      max_prompt_length: 64,
    } as const;
    const preparer = new Preparer({
      render: { format: 'as-is' },
      tokenizer,
      fit: { settings, ids: { bos: 1, eos: 2 } },
      dropDuplicates: true,
    });
    const text = await new Response(preparedStream(rows, preparer)).text();
    expect(text).toBe('{"prompt":"P ","chosen":"a","rejected":"b"}\n');
    expect([preparer.pairs, preparer.duplicates]).toEqual([1, 1]);
    expect([...preparer.problems]).toEqual([
      ['duplicate', 1],
      ['no-answer-tokens', 1],
    ]);
  });
});
