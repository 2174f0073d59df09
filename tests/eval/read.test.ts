/** Rows of benchmarks as items: the recorded contexts and continuations of every file, and the Hub's own schemas. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { withShots } from '../../src/eval/few-shot';
import type { AnswerItem, ChoiceItem } from '../../src/eval/items';
import { readTask, taskName } from '../../src/eval/read/task';
import { memorySource } from '../../src/formats/bytes';
import { repositoryPath } from '../support/files';
import { GOLDENS } from './goldens';

const golden = (name: string) => JSON.parse(readFileSync(repositoryPath(`tests/goldens/eval/${name}.json`), 'utf8'));

const read = (rows: object[] | string, limit?: number, name = 'rows') => {
  const text = typeof rows === 'string' ? rows : rows.map((row) => JSON.stringify(row)).join('\n');
  return readTask(memorySource(new TextEncoder().encode(text)), { name, limit });
};

async function one(row: object): Promise<ChoiceItem> {
  const [item] = (await read([row])).items;
  return item as ChoiceItem;
}

/** Context, then the continuations. */
const shown = ({ choices, gold }: ChoiceItem) => [choices[0].context, ...choices.map((c) => c.continuation), gold];

test.each(GOLDENS)('%s: contexts, continuations and right choices as recorded', async (name) => {
  const recorded = golden(`stories-260k_${name}`);
  const file = readFileSync(repositoryPath(`tests/goldens/eval/data/${name}.jsonl`), 'utf8');
  const { items, problems } = await read(file, recorded.length, name);
  expect(problems).toEqual([]);
  expect(items).toHaveLength(recorded.length);
  items.forEach((item, i) => {
    const { choices, gold } = item as ChoiceItem;
    const { contexts, continuations, gold: right } = recorded[i];
    expect({
      contexts: choices.map((c) => c.context),
      continuations: choices.map((c) => c.continuation),
      right: gold,
    }).toEqual({
      contexts,
      continuations,
      right,
    });
  });
  expect((await read(file, 3)).items).toEqual(items.slice(0, 3));
});

describe('schemas of the Hub, with the prompts of lm-evaluation-harness', () => {
  const texts = (...text: string[]) => ({ text, label: text.map((_, i) => 'ABCDE'[i]) });

  test('ARC, letters or numbers', async () => {
    const row = { id: 'x', question: 'Why?', choices: texts('so', 'thus'), answerKey: 'B' };
    expect(shown(await one(row))).toEqual(['Question: Why?\nAnswer:', ' so', ' thus', 1]);
    const numbered = { ...row, choices: { text: ['so', 'thus'], label: ['1', '2'] }, answerKey: '1' };
    expect((await one(numbered)).gold).toBe(0);
  });

  test('OpenBookQA, PIQA, BoolQ', async () => {
    expect(shown(await one({ question_stem: 'Ice is', choices: texts('cold', 'hot'), answerKey: 'A' }))).toEqual([
      'Ice is',
      ' cold',
      ' hot',
      0,
    ]);
    expect(shown(await one({ goal: 'Boil water', sol1: 'heat', sol2: 'cool', label: 0 }))).toEqual([
      'Question: Boil water\nAnswer:',
      ' heat',
      ' cool',
      0,
    ]);
    expect(shown(await one({ question: 'is it', passage: 'It is.', answer: true }))).toEqual([
      'It is.\nQuestion: is it?\nAnswer:',
      ' no',
      ' yes',
      1,
    ]);
  });

  test('WinoGrande: two contexts, one continuation', async () => {
    const { choices, gold } = await one({
      sentence: 'Ann met Bea so _ waved.',
      option1: 'Ann',
      option2: 'Bea',
      answer: '2',
    });
    expect(choices).toEqual([
      { context: 'Ann met Bea so Ann', continuation: ' waved.' },
      { context: 'Ann met Bea so Bea', continuation: ' waved.' },
    ]);
    expect(gold).toBe(1);
  });

  test('COPA, HellaSwag, MMLU', async () => {
    const copa = {
      premise: 'It rained.',
      choice1: 'We got wet.',
      choice2: 'It was dry.',
      question: 'effect',
      label: 0,
    };
    expect(shown(await one(copa))).toEqual(['It rained therefore', ' we got wet.', ' it was dry.', 0]);
    const swag = {
      activity_label: 'Roof',
      ctx_a: 'A man [step] sits.',
      ctx_b: 'he',
      endings: ['falls.', 'x [title] y'],
      label: '1',
    };
    expect(shown(await one(swag))).toEqual(['Roof: A man sits. He', ' falls.', ' x. y', 1]);
    const mmlu = { question: 'One?', subject: 'high_school_physics', choices: ['a', 'b', 'c', 'd'], answer: 2 };
    expect(shown(await one(mmlu))).toEqual([
      'The following are multiple choice questions (with answers) about high school physics.\n\nOne?\nA. a\nB. b\nC. c\nD. d\nAnswer:',
      ' A',
      ' B',
      ' C',
      ' D',
      2,
    ]);
  });

  test('TruthfulQA: one answer, and all that are true', async () => {
    const row = {
      question: 'Is it?',
      mc1_targets: { choices: ['yes', 'no'], labels: [1, 0] },
      mc2_targets: { choices: ['yes', 'surely', 'no'], labels: [1, 1, 0] },
    };
    const { items, metrics } = await read([row]);
    const item = items[0] as ChoiceItem;
    expect(metrics).toEqual(['mc1', 'mc2']);
    expect(item.choices.map((c) => c.continuation)).toEqual([' yes', ' no', ' surely']);
    expect(item.choices[0].context).toMatch(
      /^Q: What is human life expectancy[\s\S]*Barcelona, Spain\.\n\nQ: Is it\?\nA:$/,
    );
    expect(item).toMatchObject({ gold: 0, truth: { mc1: [0, 1], mc2: [0, 2, 1], right: [0, 2] } });
  });

  test('BIG-Bench-Hard as its file has it: rows under “examples”', async () => {
    const file = JSON.stringify({ canary: 'x', examples: [{ input: 'not True is', target: 'False' }] });
    const { items, metrics } = await read(file, undefined, 'bbh.json');
    expect(metrics).toEqual(['exact_match']);
    expect(items[0] as AnswerItem).toMatchObject({
      prompt: 'Q: not True is\nA:',
      target: 'False',
      until: ['</s>', 'Q', '\n\n'],
    });
  });
});

describe('a person’s own file', () => {
  test('an index, a letter, or the choice itself', async () => {
    const row = { question: 'Colour of snow?', options: ['black', 'white'] };
    for (const answer of [1, 'B', '(B)', 'white', '1']) expect((await one({ ...row, answer })).gold).toBe(1);
    expect(shown(await one({ query: 'Snow is', choices: [' black', 'white'], gold: [1] }))).toEqual([
      'Snow is',
      ' black',
      ' white',
      1,
    ]);
  });

  test('rows that cannot be used are named; without a usable one it is refused', async () => {
    const good = { query: 'Snow is', choices: ['black', 'white'], gold: 1 };
    const { items, problems } = await read([
      good,
      { ...good, gold: 'C' },
      { ...good, choices: 'white' },
      { ...good, choices: ['', 'x'] },
    ]);
    expect(items).toHaveLength(1);
    expect(problems.map(({ line }) => line)).toEqual([2, 3, 4]);
    expect(problems[0].message).toBe(
      'The answer "C" names none of the 2 choices. Give its index from 0, or its letter from A.',
    );
    await expect(read([{ ...good, gold: 5 }])).rejects.toMatchObject({ code: 'no-items' });
    await expect(read([{ text: 'x' }])).rejects.toMatchObject({
      code: 'unknown-task',
      message: expect.stringContaining('its rows have text'),
    });
  });

  test('a task is named by its file', () => {
    expect(taskName('data/eval/arc_easy.jsonl.gz')).toBe('arc_easy');
    expect(taskName('C:\\x\\test.v1.parquet')).toBe('test.v1');
  });
});

describe('few-shot', () => {
  const rows = Array.from({ length: 9 }, (_, i) => ({
    query: `${i} is`,
    choices: ['odd', 'even'],
    gold: i % 2 ? 0 : 1,
  }));

  test('other items, solved, a blank line between; the same seed gives the same', async () => {
    const task = await read(rows);
    const shots = withShots(task, 2, 7);
    expect(withShots(task, 2, 7)).toEqual(shots);
    expect(withShots(task, 2, 8)).not.toEqual(shots);
    shots.items.forEach((item, i) => {
      const { choices } = item as ChoiceItem;
      const parts = choices[0].context.split('\n\n');
      expect(parts).toHaveLength(3);
      expect(parts[2]).toBe(`${i} is`);
      const examples = parts.slice(0, 2).map((part) => {
        const [, number, word] = /^(\d) is (odd|even)$/.exec(part)!;
        expect(word).toBe(Number(number) % 2 ? 'odd' : 'even');
        return Number(number);
      });
      expect(new Set([...examples, i]).size).toBe(3);
      expect(choices[1].context).toBe(choices[0].context);
    });
    expect(withShots(task, 0, 7)).toEqual(task);
  });

  test('refused where there is no context, or too few items', async () => {
    const pairs = await read([
      { sentence_good: 'a b', sentence_bad: 'b a' },
      { sentence_good: 'c d', sentence_bad: 'd c' },
    ]);
    expect(() => withShots(pairs, 1, 0)).toThrow('scores whole texts');
    const task = await read(rows.slice(0, 2));
    expect(() => withShots(task, 2, 0)).toThrow('2 items, too few for 2 examples');
  });
});
