import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parsePreferenceData } from '../../src/data/parse';
import { defaultPromptFormat, renderRow, renderRows } from '../../src/data/render';
import { splitRows } from '../../src/data/split';
import type { PreferenceRow, SourceRow } from '../../src/data/types';
import { fixtureTokenizer, readJsonl, streamOf } from './support';

const builtin = (name: string) => {
  const bytes = readFileSync(new URL(`../../public/data/${name}`, import.meta.url));
  return parsePreferenceData(streamOf(new Uint8Array(bytes), 65536), { name });
};
const text = ({ prompt, chosen, rejected }: PreferenceRow) => ({ prompt, chosen, rejected });

describe('the built-in sets give the rows of the TRL goldens', () => {
  it('story-dialogue as it is, the last 15 % held out', async () => {
    const tokenizer = await fixtureTokenizer('stories-260k');
    const { rows } = await builtin('story-dialogue.jsonl');
    expect(defaultPromptFormat(tokenizer, rows)).toBe('as-is');
    const split = splitRows(rows, { fraction: 0.15, seed: 42, by: 'tail' });
    const render = (part: SourceRow[]) => renderRows(part, { format: 'as-is' }, tokenizer).rows.map(text);
    expect(render(split.train)).toEqual(readJsonl('stories-260k/train.jsonl.gz'));
    expect(render(split.eval)).toEqual(readJsonl('stories-260k/eval_rows.jsonl.gz'));
  });

  it.each(['chat-template', 'llama-3'] as const)('politeness with %s', async (format) => {
    const tokenizer = await fixtureTokenizer('pocket-15m');
    const { rows, usable, total } = await builtin('politeness.json');
    expect([usable, total]).toEqual([1094, 1100]);
    expect(defaultPromptFormat(tokenizer, rows)).toBe('chat-template');
    const golden = readJsonl<PreferenceRow>('pocket-15m/train.jsonl.gz');
    const { rows: ours } = renderRows(rows.slice(0, golden.length), { format }, tokenizer);
    expect(ours.map(text)).toEqual(golden);
  });
});

describe('prompt formats', () => {
  const request: SourceRow = { form: 'request', prompt: 'Hi?', chosen: 'Hello.', rejected: 'No.', line: 1 };
  const chat: SourceRow = {
    ...request,
    form: 'chat',
    chat: {
      prompt: [
        { role: 'system', content: 'Be kind.' },
        { role: 'user', content: 'Hi?' },
        { role: 'assistant', content: 'Yes?' },
        { role: 'user', content: 'Why?' },
      ],
      chosen: [{ role: 'assistant', content: 'Because.' }],
      rejected: [{ role: 'assistant', content: 'Go.' }],
    },
  };

  it('chatml is that of setup_chat_format', () => {
    expect(renderRow(chat, { format: 'chatml' }, null)).toEqual({
      prompt:
        '<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n',
      chosen: 'Because.<|im_end|>\n',
      rejected: 'Go.<|im_end|>\n',
    });
  });

  it('alpaca with and without an input, and with turns', () => {
    const simple = renderRow(request, { format: 'alpaca' }, null);
    expect(simple.prompt).toBe(
      'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\nHi?\n\n### Response:\n',
    );
    expect(simple.chosen).toBe('Hello.');
    const parts = { instruction: 'Add.', input: '1 2' };
    expect(renderRow({ ...request, parts }, { format: 'alpaca' }, null).prompt).toBe(
      'Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n',
    );
    expect(renderRow(chat, { format: 'alpaca' }, null).prompt).toBe(
      'Be kind.\n\n### Instruction:\nHi?\n\n### Response:\nYes?\n\n### Instruction:\nWhy?\n\n### Response:\n',
    );
  });

  it('as-is leaves finished text alone and puts a request on a line of its own', () => {
    expect(renderRow({ ...request, form: 'text' }, { format: 'as-is' }, null).prompt).toBe('Hi?');
    expect(renderRow(request, { format: 'as-is' }, null).prompt).toBe('Hi?\n');
    expect(renderRow({ ...request, prompt: 'Hi? ' }, { format: 'as-is' }, null).prompt).toBe('Hi? ');
    expect(renderRow(chat, { format: 'as-is' }, null).prompt).toBe('Be kind.\n\nHi?\n\nYes?\n\nWhy?\n');
  });

  it('puts a system turn where there is none', async () => {
    const tokenizer = await fixtureTokenizer('pocket-15m');
    const rendered = renderRow(request, { format: 'chat-template', system: 'Be brief.' }, tokenizer);
    expect(rendered.prompt).toContain('system<|end_header_id|>\n\nBe brief.<|eot_id|>');
    expect(renderRow(chat, { format: 'chat-template', system: 'Be brief.' }, tokenizer).prompt).not.toContain('brief');
    expect(renderRow(request, { format: 'as-is', system: 'S' }, null).prompt).toBe('S\n\nHi?\n');
  });

  it('custom templates cut the prompt where the conversations part', async () => {
    const tokenizer = await fixtureTokenizer('stories-260k');
    const template =
      "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
    expect(renderRow(request, { format: 'custom', template }, tokenizer)).toEqual({
      prompt: 'user: Hi?\nassistant: ',
      chosen: 'Hello.\n',
      rejected: 'No.\n',
    });
  });

  it('names rows that a template refuses or empties', async () => {
    const tokenizer = await fixtureTokenizer('stories-260k');
    const refuse = { format: 'custom', template: "{{ raise_exception('no') }}" } as const;
    expect(renderRows([request], refuse, tokenizer)).toMatchObject({
      rows: [],
      problems: [{ reason: 'bad-conversation', line: 1 }],
    });
    const blind = { format: 'custom', template: 'x' } as const;
    expect(renderRows([request], blind, tokenizer).problems).toMatchObject([{ reason: 'empty-answer' }]);
  });
});

describe('splitRows', () => {
  const rows: SourceRow[] = Array.from({ length: 40 }, (_, i) => ({
    form: 'request',
    prompt: `P${i % 10}`,
    chosen: 'a',
    rejected: 'b',
    line: i + 1,
  }));

  it('draws rows with the seed, every row on one side', () => {
    const a = splitRows(rows, { fraction: 0.1, seed: 1, by: 'row' });
    expect([a.train.length, a.eval.length]).toEqual([36, 4]);
    expect([...a.train, ...a.eval].map((row) => row.line).sort((x, y) => x - y)).toEqual(rows.map((row) => row.line));
    expect(splitRows(rows, { fraction: 0.1, seed: 1, by: 'row' })).toEqual(a);
    expect(splitRows(rows, { fraction: 0.1, seed: 2, by: 'row' }).eval).not.toEqual(a.eval);
  });

  it('keeps all rows of a prompt together', () => {
    const { train, eval: aside } = splitRows(rows, { fraction: 0.25, seed: 1, by: 'prompt' });
    expect(aside.length).toBe(12);
    const prompts = new Set(aside.map((row) => row.prompt));
    expect(train.some((row) => prompts.has(row.prompt))).toBe(false);
  });

  it('never empties the training side', () => {
    expect(splitRows(rows.slice(0, 1), { fraction: 0.5, seed: 1, by: 'row' }).train).toHaveLength(1);
    expect(
      splitRows(
        rows.filter((row) => row.prompt === 'P0'),
        { fraction: 0.5, seed: 1, by: 'prompt' },
      ).train,
    ).toHaveLength(4);
    expect(splitRows(rows, { fraction: 0, seed: 1, by: 'row' }).eval).toEqual([]);
  });
});
