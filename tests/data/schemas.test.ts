/** Every real preference set is recognised, and its first row reads exactly as its file says. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type ParsedData, parsePreferenceData } from '../../src/data/parse';
import { memorySource } from '../../src/formats/bytes';
import { FIXTURES, streamOf } from './support';

const raw = (name: string) => {
  const builtin = name === 'story-dialogue.jsonl' || name === 'politeness.json';
  const url = builtin
    ? new URL(`../../public/data/${name}`, import.meta.url)
    : new URL(`preference/${name}.gz`, FIXTURES);
  const bytes = readFileSync(url);
  return new Uint8Array(builtin ? bytes : gunzipSync(bytes));
};
const load = (name: string) => parsePreferenceData(streamOf(raw(name), 5000), { name });
// biome-ignore lint/suspicious/noExplicitAny: the files have a dozen shapes, and the test says which it reads.
const firstOf = (name: string): any => {
  const text = new TextDecoder().decode(raw(name));
  return name.endsWith('.jsonl') ? JSON.parse(text.slice(0, text.indexOf('\n'))) : JSON.parse(text)[0];
};

interface Expectation {
  file: string;
  schema: string;
  total: number;
  usable: number;
  // biome-ignore lint/suspicious/noExplicitAny: see above.
  first(row: any): { prompt: string | [string, string][]; chosen: string; rejected: string };
}

const cases: Expectation[] = [
  {
    file: 'politeness.json',
    schema: 'instruction + input / chosen / rejected',
    total: 1100,
    usable: 1094,
    first: (row) => ({ prompt: `${row.instruction}\n\n${row.input}`, chosen: row.chosen, rejected: row.rejected }),
  },
  {
    file: 'story-dialogue.jsonl',
    schema: 'request / chosen / rejected',
    total: 113,
    usable: 113,
    first: (row) => ({ prompt: row.request, chosen: row.chosen, rejected: row.rejected }),
  },
  {
    file: 'string_triples_zh.jsonl',
    schema: 'prompt / chosen / rejected',
    total: 242,
    usable: 242,
    first: (row) => row,
  },
  {
    file: 'sharegpt_dpo_en.json',
    schema: 'conversations / chosen / rejected (turns)',
    total: 300,
    usable: 300,
    first: (row) => ({
      prompt: [['user', row.conversations[0].value]],
      chosen: row.chosen.value,
      rejected: row.rejected.value,
    }),
  },
  {
    file: 'content_parts.jsonl',
    schema: 'chosen_messages / rejected_messages (turns, prompt shared by both)',
    total: 10,
    usable: 10,
    first: (row) => ({
      prompt: [
        ['system', row.chosen_messages[0].content[0].value],
        ['user', row.chosen_messages[1].content[0].value],
      ],
      chosen: row.chosen_messages[2].content[0].value,
      rejected: row.rejected_messages[2].content[0].value,
    }),
  },
  {
    file: 'openai_dpo.jsonl',
    schema: 'input.messages / preferred_output / non_preferred_output (turns)',
    total: 120,
    usable: 120,
    first: (row) => ({
      prompt: [
        ['system', row.input.messages[0].content],
        ['user', row.input.messages[1].content],
      ],
      chosen: row.preferred_output[0].content,
      rejected: row.non_preferred_output[0].content,
    }),
  },
  {
    file: 'message_lists_system.jsonl',
    schema: 'chosen / rejected (turns, prompt shared by both)',
    total: 32,
    usable: 32,
    first: (row) => ({
      prompt: [
        ['system', row.chosen[0].content],
        ['user', row.chosen[1].content],
      ],
      chosen: row.chosen[2].content,
      rejected: row.rejected[2].content,
    }),
  },
  {
    file: 'message_lists_one_row.json',
    schema: 'chosen / rejected (turns, prompt shared by both)',
    total: 1,
    usable: 1,
    first: () => ({
      prompt: [['user', 'What do I do when I have a hole in my trousers?']],
      chosen: 'Fix the hole.',
      rejected: 'Take them off.',
    }),
  },
  {
    file: 'stack_exchange_paired.json',
    schema: 'question / response_j / response_k',
    total: 25,
    usable: 25,
    first: (row) => ({ prompt: row.question, chosen: row.response_j, rejected: row.response_k }),
  },
  {
    file: 'label_index.json',
    schema: 'input / output_1 or output_2 by label',
    total: 100,
    usable: 100,
    first: (row) => ({
      prompt: row.input,
      chosen: row[`output_${row.label}`],
      rejected: row[`output_${3 - row.label}`],
    }),
  },
];

describe('real preference sets', () => {
  it.each(cases)('$file', async ({ file, schema, total, usable, first }) => {
    const data = await load(file);
    expect({ schema: data.schema, total: data.total, usable: data.usable }).toEqual({ schema, total, usable });
    const expected = first(firstOf(file));
    const [row] = data.rows;
    expect([row.chosen, row.rejected]).toEqual([expected.chosen, expected.rejected]);
    if (typeof expected.prompt === 'string') expect(row.prompt).toBe(expected.prompt);
    else expect(row.chat?.prompt.map(({ role, content }) => [role, content])).toEqual(expected.prompt);
  });

  it('politeness.json: six rows whose answers are the same are named', async () => {
    const { problemCounts, problems } = await load('politeness.json');
    expect(problemCounts).toEqual([{ reason: 'chosen-equals-rejected', count: 6 }]);
    expect(problems[0].line).toBe(123);
  });

  it('unpaired_kto.json is refused with the reason', async () => {
    await expect(load('unpaired_kto.json')).rejects.toMatchObject({
      code: 'unpaired',
      message: expect.stringContaining('one chosen and one rejected'),
    });
  });
});

describe('Parquet, written by another program', () => {
  const open = (name: string) => {
    const source = memorySource(new Uint8Array(readFileSync(new URL(`parquet/${name}`, FIXTURES))));
    return parsePreferenceData(source, { name });
  };
  const texts = (data: ParsedData) => data.rows.map(({ prompt, chosen, rejected }) => [prompt, chosen, rejected]);

  it.each([
    ['stories_snappy.parquet', 'story-dialogue.jsonl', 40],
    ['message_lists_zstd.parquet', 'message_lists_system.jsonl', 32],
    ['labels_gzip.parquet', 'label_index.json', 30],
  ])('%s holds the rows of %s', async (name, original, count) => {
    const data = await open(name);
    expect([data.format, data.unit, data.usable]).toEqual(['Parquet', 'row', count]);
    expect(texts(data)).toEqual(texts(await load(original)).slice(0, count));
    expect(data.rows.map((row) => row.line)).toEqual(data.rows.map((_, i) => i + 1));
  });

  it('is read from a stream as well', async () => {
    const bytes = new Uint8Array(readFileSync(new URL('parquet/stories_snappy.parquet', FIXTURES)));
    expect((await parsePreferenceData(streamOf(bytes, 999), { name: 'x' })).usable).toBe(40);
  });

  it('is named when it is damaged', async () => {
    const bytes = new Uint8Array(readFileSync(new URL('parquet/stories_snappy.parquet', FIXTURES)));
    const cut = memorySource(bytes.slice(0, 5000));
    await expect(parsePreferenceData(cut, { name: 'x.parquet' })).rejects.toMatchObject({ code: 'bad-format' });
  });
});

describe('other schemas people have', () => {
  const read = async (...rows: unknown[]) =>
    parsePreferenceData(streamOf(rows.map((row) => JSON.stringify(row)).join('\n')), { name: 'rows.jsonl' });
  const user = (content: string) => ({ role: 'user', content });
  const assistant = (content: string) => ({ role: 'assistant', content });

  it('a text prompt beside whole conversations is not used (orpo-dpo-mix-40k)', async () => {
    const data = await read({
      source: 's',
      prompt: 'something else',
      chosen: [user('Q'), assistant('A')],
      rejected: [user('Q'), assistant('B')],
    });
    expect(data.schema).toBe('chosen / rejected (turns, prompt shared by both; "prompt" not used)');
    expect(data.rows[0].chat).toEqual({ prompt: [user('Q')], chosen: [assistant('A')], rejected: [assistant('B')] });
  });

  it('explicit prompt turns, also where the answers repeat them', async () => {
    const data = await read(
      { prompt: [user('Q')], chosen: [assistant('A')], rejected: [assistant('B')] },
      { prompt: [user('Q')], chosen: [user('Q'), assistant('A')], rejected: [user('Q'), assistant('B')] },
      { prompt: [user('Q')], chosen: 'A', rejected: 'B' },
      { prompt: 'Q', chosen: [assistant('A')], rejected: [assistant('B')] },
    );
    expect(data.usable).toBe(4);
    for (const row of data.rows) {
      expect(row.chat).toEqual({ prompt: [user('Q')], chosen: [assistant('A')], rejected: [assistant('B')] });
    }
  });

  it('several turns, ShareGPT spelling, a system field', async () => {
    const data = await read({
      system: 'Be kind.',
      conversations: [
        { from: 'human', value: 'Q1' },
        { from: 'gpt', value: 'A1' },
        { from: 'human', value: 'Q2' },
      ],
      chosen: { from: 'gpt', value: 'yes' },
      rejected: { from: 'gpt', value: 'no' },
    });
    expect(data.rows[0].chat?.prompt).toEqual([
      { role: 'system', content: 'Be kind.' },
      user('Q1'),
      assistant('A1'),
      user('Q2'),
    ]);
    expect(data.rows[0].prompt).toBe('system: Be kind.\n\nuser: Q1\n\nassistant: A1\n\nuser: Q2');
  });

  it('system / question / chosen / rejected', async () => {
    const data = await read(
      { system: 'S', question: 'Q', chosen: 'A', rejected: 'B' },
      { system: '', question: 'Q', chosen: 'A', rejected: 'B' },
    );
    expect(data.schema).toBe('system / question / chosen / rejected');
    expect(data.rows.map((row) => row.form)).toEqual(['chat', 'request']);
  });

  it('hh-rlhf transcripts', async () => {
    const start = '\n\nHuman: What is 2+2?\n\nAssistant: Why?\n\nHuman: Tell me.\n\nAssistant:';
    const data = await read({ chosen: `${start} It is 4.`, rejected: `${start} No:\n\nnever.` });
    expect(data.schema).toBe('chosen / rejected (transcripts, prompt shared by both)');
    expect(data.rows[0].chat).toEqual({
      prompt: [user('What is 2+2?'), assistant('Why?'), user('Tell me.')],
      chosen: [assistant('It is 4.')],
      rejected: [assistant('No:\n\nnever.')],
    });
  });

  it('two texts that begin alike', async () => {
    const data = await read({ chosen: 'The sky is bluish.', rejected: 'The sky is black.' });
    expect(data.rows[0]).toMatchObject({ form: 'text', prompt: 'The sky is', chosen: ' bluish.', rejected: ' black.' });
  });

  it('labels by letter, name and number; ties are named', async () => {
    const pair = { question: 'Q', response_a: 'A', response_b: 'B' };
    const data = await read(
      { ...pair, winner: 'model_b' },
      { ...pair, winner: 'a' },
      { ...pair, winner: 'tie' },
      { ...pair, winner: 'response_b' },
      { ...pair, winner: 'nobody' },
    );
    expect(data.rows.map((row) => row.chosen)).toEqual(['B', 'A', 'B']);
    expect(data.problems.map((problem) => problem.reason)).toEqual(['tie', 'wrong-type']);
    const zero = await read(
      { prompt: 'P', response_0: 'A', response_1: 'B', better_response_id: 1 },
      { prompt: 'P', response_0: 'A', response_1: 'B', better_response_id: 0 },
    );
    expect(zero.rows.map((row) => row.chosen)).toEqual(['B', 'A']);
    const lettered = await read(
      { prompt: 'P', response_a: 'A', response_b: 'B', label: 2 },
      { prompt: 'P', response_a: 'A', response_b: 'B', label: 1 },
    );
    expect(lettered.rows.map((row) => row.chosen)).toEqual(['B', 'A']);
  });

  it('scored and ranked answers: best against worst', async () => {
    const scores = await read(
      { prompt: 'P', responses: ['a', 'b', 'c'], scores: [1, 5, -2] },
      { prompt: 'P', responses: ['a', 'b'], scores: [1, 1] },
      { prompt: 'P', responses: ['a', 'b'], scores: [1] },
    );
    expect(scores.schema).toBe('prompt / responses, best against worst by scores');
    expect(scores.rows.map(({ chosen, rejected }) => [chosen, rejected])).toEqual([['b', 'c']]);
    expect(scores.problems.map((problem) => problem.reason)).toEqual(['tie', 'wrong-type']);
    const inside = await read({
      instruction: 'I',
      completions: [
        { response: 'good', overall_score: 8.5 },
        { response: 'bad', overall_score: 2 },
      ],
    });
    expect(inside.rows[0]).toMatchObject({ prompt: 'I', chosen: 'good', rejected: 'bad' });
    const ranked = await read({
      prompt: 'P',
      answers: [
        { text: 'second', rank: 2 },
        { text: 'first', rank: 1 },
      ],
    });
    expect(ranked.rows[0]).toMatchObject({ chosen: 'first', rejected: 'second' });
    const ordered = await read({ instruction: 'I', input: '', output: ['better', 'worse'] });
    expect(ordered.rows[0]).toMatchObject({ prompt: 'I', chosen: 'better', rejected: 'worse' });
  });

  it('columns named by a person', async () => {
    const text = '{"q": "Q", "good": "A", "bad": "B"}\n{"q": "Q", "good": "A"}\n';
    const columns = { prompt: 'q', chosen: 'good', rejected: 'bad' };
    const data = await parsePreferenceData(streamOf(text), { name: 'rows.jsonl', columns });
    expect(data.schema).toBe('q / good / bad');
    expect(data.rows).toMatchObject([{ prompt: 'Q', chosen: 'A', rejected: 'B' }]);
    expect(data.problems).toMatchObject([{ line: 2, reason: 'missing-field' }]);
  });

  it('names what is wrong with a conversation', async () => {
    const data = await read(
      { chosen: [user('Q'), assistant('A')], rejected: [user('Q'), assistant('B')] },
      { chosen: [user('Q'), assistant('A')], rejected: [user('other'), assistant('B')] },
      { chosen: [user('Q'), user('A')], rejected: [user('Q'), assistant('B')] },
      { chosen: [user('Q'), assistant('')], rejected: [user('Q'), assistant('B')] },
      {
        chosen: [user('Q'), { role: 'assistant', content: [{ type: 'image', url: 'x' }] }],
        rejected: [user('Q'), assistant('B')],
      },
      { chosen: [user('Q'), { role: 7, content: 'x' }], rejected: [user('Q'), assistant('B')] },
      { chosen: [], rejected: [user('Q'), assistant('B')] },
      { chosen: [user('Q'), assistant('A')], rejected: 'text' },
      { chosen: [user('Q'), assistant('A')], rejected: [user('Q'), assistant('A')] },
    );
    expect(data.problems.map(({ reason }) => reason)).toEqual([
      'bad-conversation',
      'bad-conversation',
      'empty-answer',
      'wrong-type',
      'bad-conversation',
      'empty-answer',
      'wrong-type',
      'chosen-equals-rejected',
    ]);
  });
});
