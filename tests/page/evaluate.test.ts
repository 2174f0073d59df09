/**
 * Before and after in numbers: a short run on polite answers, then held-out pairs and two benchmarks with base beside
 * tuned. DEMO=1 takes the chat model that those answers were made for, more of them, and as many steps as change it:
 * half an hour of two cores.
 */

import { beforeAll, expect, it } from 'vitest';
import { violations } from './support/axe';
import { heard, openForFile } from './support/opened';
import { jsonl, politeRows } from './support/rows';

const SIZE = process.env.DEMO
  ? { pairs: 160, steps: 30, accumulate: 2, learningRate: 1e-3, questions: 20, minutes: 120, worth: '5.0' }
  : { pairs: 16, steps: 4, accumulate: 1, learningRate: 2e-2, questions: 6, minutes: 4, worth: '16.7' };

const opened = openForFile();

const table = () => opened.page.getByRole('region', { name: 'Base beside tuned' });
const cells = (name: string | RegExp) => table().getByRole('row', { name }).first().getByRole('cell').allTextContents();

beforeAll(async () => {
  await opened.studio.modelLoaded();
  if (process.env.DEMO) {
    await opened.studio.goTo('Model');
    await opened.page.getByRole('button', { name: 'Load Pocket 15M' }).click();
    await opened.page.getByRole('button', { name: 'Pocket 15M is loaded' }).waitFor();
  }
});

it('offers held-out pairs and the built-in benchmarks; without a run the base model alone', async () => {
  await opened.studio.drop('pairs.jsonl', jsonl(politeRows(SIZE.pairs)));
  await opened.studio.dataRead('pairs.jsonl', SIZE.pairs);
  await opened.studio.holdOut(25);
  await opened.page.getByText(`${0.75 * SIZE.pairs} to train on, ${0.25 * SIZE.pairs} held out.`).waitFor();
  await opened.studio.goTo('Evaluate');
  for (const name of ['Held-out pairs', 'COPA', 'OpenBookQA']) {
    expect(await opened.page.getByRole('checkbox', { name }).isChecked(), name).toBe(true);
  }
  expect(await opened.page.getByRole('checkbox', { name: 'ARC easy' }).isChecked()).toBe(false);
  await opened.page.getByRole('button', { name: 'Evaluate the base model' }).waitFor();
});

it('after a run the table shows base beside tuned', { timeout: SIZE.minutes * 60_000 }, async () => {
  await opened.studio.settings({
    max_steps: SIZE.steps,
    gradient_accumulation_steps: SIZE.accumulate,
    max_prompt_length: 48,
    max_length: 96,
    eval_steps: SIZE.steps,
    learning_rate: SIZE.learningRate,
  });
  await opened.studio.start();
  expect(await opened.studio.ended(SIZE.minutes * 60_000)).toBe('Finished');
  await opened.studio.goTo('Evaluate');
  await opened.page.getByLabel('Questions of each task').fill(String(SIZE.questions));
  await opened.page.getByRole('button', { name: 'Evaluate base and tuned' }).click();
  await opened.page
    .getByTestId('announcements')
    .getByText('The evaluation is done.')
    .waitFor({ state: 'attached', timeout: SIZE.minutes * 60_000 });
  const pairs = await cells(/^Held-out pairs/);
  expect(pairs[0]).toBe(String(Math.min(SIZE.pairs / 4, SIZE.questions)));
  for (const name of [/^COPA/, /^OpenBookQA/]) {
    const [n, base, tuned, difference, interval, p, flipped] = await cells(name);
    expect(n).toBe(String(SIZE.questions));
    const [before, after] = [base, tuned].map((text) => Number(/^([\d.]+) %/.exec(text)?.[1]));
    const change = Number(difference.replace('−', '-').split(' ')[0]);
    // Shown to one or two digits each.
    expect(Math.abs(change - (after - before))).toBeLessThan(1);
    expect(interval).toMatch(/^[+−]?[\d.]+ … [+−]?[\d.]+$/);
    expect(p).toMatch(/^[01]\.\d{3}$/);
    const [, won, lost] = /^\+(\d+) −(\d+)$/.exec(flipped)!;
    expect((100 * (Number(won) - Number(lost))) / SIZE.questions).toBeCloseTo(change, 0);
  }
  await table()
    .getByText(`Only ${SIZE.questions} items: one of them is worth ${SIZE.worth} points. Use at least 50.`)
    .first()
    .waitFor();
});

it('lists the questions with both scores, by filter and search', async () => {
  const questions = opened.page.getByRole('region', { name: 'Questions' });
  await questions.getByLabel('Task').selectOption('COPA');
  await questions.getByLabel('Show').selectOption('all');
  await questions.getByText(`${SIZE.questions} questions`, { exact: true }).waitFor();
  await questions.getByLabel('Search').fill('faucet');
  await questions.getByText('1 question', { exact: true }).waitFor();
  const row = questions.getByRole('row', { name: /water flowed from the spout/ });
  expect(await row.getByRole('cell').allTextContents()).toEqual([
    expect.stringMatching(/^-\d+\.\d\d$/),
    expect.stringMatching(/^-\d+\.\d\d$/),
  ]);
  await questions.getByLabel('Search').fill('');
});

it('writes results.json in lm-evaluation-harness’ layout, and CSV', async () => {
  const { name, bytes } = await opened.studio.download('results.json');
  expect(name).toBe('results.json');
  const json = JSON.parse(new TextDecoder().decode(bytes));
  expect(Object.keys(json.results)).toEqual(['Held-out pairs', 'COPA', 'OpenBookQA']);
  expect(json.results.COPA).toMatchObject({
    alias: 'COPA',
    'acc,none': expect.any(Number),
    'acc_stderr,none': expect.any(Number),
  });
  expect(json.comparison.COPA.acc.interval).toHaveLength(2);
  const csv = await opened.studio.download('Table as CSV');
  expect(new TextDecoder().decode(csv.bytes).split('\r\n')).toHaveLength(8);
});

it.each(['light', 'dark'] as const)('axe finds nothing in the %s theme', async (colorScheme) => {
  await opened.page.emulateMedia({ colorScheme });
  await expect.poll(() => opened.page.evaluate(() => document.documentElement.dataset.theme)).toBe(colorScheme);
  expect(await violations(opened.page)).toEqual([]);
  if (process.env.SCREENSHOTS) {
    await opened.page.screenshot({ path: `${process.env.SCREENSHOTS}/evaluate-${colorScheme}.png`, fullPage: true });
  }
});

it('leaves the console empty', () => {
  expect(heard(opened)).toEqual([]);
});
