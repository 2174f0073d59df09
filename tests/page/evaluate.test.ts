/**
 * Before and after in numbers: a short run on polite answers, then held-out pairs and two benchmarks with base beside
 * tuned. DEMO=1 takes the chat model that those answers were made for, more of them, and as many steps as change it:
 * half an hour of two cores.
 */
import AxeBuilder from '@axe-core/playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Site, serveSite } from '../support/site';
import { launch, quiet, type TestBrowser, visit, type Watched } from './support/browser';
import { inOrder } from './support/in-order';
import { jsonl, politeRows } from './support/rows';
import { StudioPage } from './support/studio';

const SIZE = process.env.DEMO
  ? { pairs: 160, steps: 30, accumulate: 2, learningRate: 1e-3, questions: 20, minutes: 120, worth: '5.0' }
  : { pairs: 16, steps: 4, accumulate: 1, learningRate: 2e-2, questions: 6, minutes: 4, worth: '16.7' };

let site: Site;
let browser: TestBrowser;
let visited: Watched;
let studio: StudioPage;

const table = () => studio.page.getByRole('region', { name: 'Base beside tuned' });
const cells = (name: string | RegExp) => table().getByRole('row', { name }).first().getByRole('cell').allTextContents();

inOrder(() => studio?.page);

beforeAll(async () => {
  site = await serveSite();
  browser = await launch();
  visited = await visit(browser, site.url);
  studio = new StudioPage(visited.page);
  await studio.modelLoaded();
  if (process.env.DEMO) {
    await studio.goTo('Model');
    await studio.page.getByRole('button', { name: 'Load Pocket 15M' }).click();
    await studio.page.getByRole('button', { name: 'Pocket 15M is loaded' }).waitFor();
  }
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});

it('offers held-out pairs and the built-in benchmarks; without a run the base model alone', async () => {
  await studio.drop('pairs.jsonl', jsonl(politeRows(SIZE.pairs)));
  await studio.dataRead('pairs.jsonl', SIZE.pairs);
  await studio.holdOut(25);
  await studio.page.getByText(`${0.75 * SIZE.pairs} to train on, ${0.25 * SIZE.pairs} held out.`).waitFor();
  await studio.goTo('Evaluate');
  for (const name of ['Held-out pairs', 'COPA', 'OpenBookQA']) {
    expect(await studio.page.getByRole('checkbox', { name }).isChecked(), name).toBe(true);
  }
  expect(await studio.page.getByRole('checkbox', { name: 'ARC easy' }).isChecked()).toBe(false);
  await studio.page.getByRole('button', { name: 'Evaluate the base model' }).waitFor();
});

it('after a run the table shows base beside tuned', { timeout: SIZE.minutes * 60_000 }, async () => {
  await studio.settings({
    max_steps: SIZE.steps,
    gradient_accumulation_steps: SIZE.accumulate,
    max_prompt_length: 48,
    max_length: 96,
    eval_steps: SIZE.steps,
    learning_rate: SIZE.learningRate,
  });
  await studio.start();
  expect(await studio.ended(SIZE.minutes * 60_000)).toBe('Finished');
  await studio.goTo('Evaluate');
  await studio.page.getByLabel('Questions of each task').fill(String(SIZE.questions));
  await studio.page.getByRole('button', { name: 'Evaluate base and tuned' }).click();
  await studio.page
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
  const questions = studio.page.getByRole('region', { name: 'Questions' });
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
  const { name, bytes } = await studio.download('results.json');
  expect(name).toBe('results.json');
  const json = JSON.parse(new TextDecoder().decode(bytes));
  expect(Object.keys(json.results)).toEqual(['Held-out pairs', 'COPA', 'OpenBookQA']);
  expect(json.results.COPA).toMatchObject({
    alias: 'COPA',
    'acc,none': expect.any(Number),
    'acc_stderr,none': expect.any(Number),
  });
  expect(json.comparison.COPA.acc.interval).toHaveLength(2);
  const csv = await studio.download('Table as CSV');
  expect(new TextDecoder().decode(csv.bytes).split('\r\n')).toHaveLength(8);
});

it.each(['light', 'dark'] as const)('axe finds nothing in the %s theme', async (colorScheme) => {
  await studio.page.emulateMedia({ colorScheme });
  await expect.poll(() => studio.page.evaluate(() => document.documentElement.dataset.theme)).toBe(colorScheme);
  const { violations } = await new AxeBuilder({ page: studio.page }).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`)).toEqual([]);
  if (process.env.SCREENSHOTS) {
    await studio.page.screenshot({ path: `${process.env.SCREENSHOTS}/evaluate-${colorScheme}.png`, fullPage: true });
  }
});

it('leaves the console empty', () => {
  expect(quiet(visited, browser)).toEqual([]);
});
