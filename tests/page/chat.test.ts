/** As a new user would: prompts are answered as a run goes, then base and tuned are talked to and voted on, blind. */

import type { Locator } from 'playwright-core';
import { beforeAll, expect, it } from 'vitest';
import { violations } from './support/axe';
import { heard, openForFile } from './support/opened';
import { jsonl, shortRows } from './support/rows';
import { RUN_MS } from './support/studio';

const STEPS = 6;

const opened = openForFile();

/** axe in both themes, and no part beyond a window of 1024. With SHOTS=FOLDER pictures as well. */
async function looks(name: string, part?: Locator): Promise<void> {
  const { page } = opened;
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await expect.poll(() => page.evaluate(() => document.documentElement.dataset.theme)).toBe(colorScheme);
    await page.waitForFunction(() => document.getAnimations().every((a) => a.playState !== 'running'));
    expect(await violations(page)).toEqual([]);
    for (const width of process.env.SHOTS ? [1024, 1440] : []) {
      await page.setViewportSize({ width, height: 900 });
      await (part ?? page.locator('main h1')).scrollIntoViewIfNeeded();
      await page.waitForTimeout(300);
      await page.screenshot({ path: `${process.env.SHOTS}/${name}-${colorScheme}-${width}.png` });
    }
  }
  await page.setViewportSize({ width: 1024, height: 720 });
  const beyond = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await expect.poll(beyond, { message: `pixels of ${name} beyond 1024` }).toBe(0);
  await page.setViewportSize({ width: 1440, height: 900 });
}

const column = (name: RegExp) => opened.page.getByRole('region', { name, exact: true });
const answers = (name: RegExp) => column(name).locator('.said.assistant:not([aria-busy])');
const press = (name: string | RegExp) => opened.page.getByRole('button', { name, exact: true }).click();

beforeAll(async () => {
  await opened.studio.modelLoaded();
  await opened.studio.drop('pairs.jsonl', jsonl(shortRows(16)));
  await opened.studio.dataRead('pairs.jsonl', 16);
  await opened.studio.holdOut(40);
});

it('before training the base model answers a prompt of a held-out pair', async () => {
  const { page } = opened;
  await opened.studio.goTo('Chat');
  await page.getByLabel('Most new tokens').fill('24');
  expect(await page.getByRole('button', { name: 'Blind vote' }).isDisabled()).toBe(true);
  const chip = page.getByRole('list', { name: 'Prompts of held-out pairs' }).getByRole('button').first();
  const prompt = (await chip.textContent())!;
  await chip.click();
  expect(await page.getByLabel('Your message').inputValue()).toBe(prompt);
  await page.getByLabel('Your message').press('Enter');
  await answers(/^Base$/).waitFor();
  expect(
    await column(/^Base$/)
      .locator('.said')
      .allTextContents(),
  ).toEqual([expect.stringContaining(prompt), expect.stringMatching(/\w.*24 tokens · [\d.]+ a second · cut off/s)]);
});

it('prompts are answered as a run goes, beside its curves', { timeout: RUN_MS }, async () => {
  const { page } = opened;
  await opened.studio.settings({
    ...{ max_steps: STEPS, gradient_accumulation_steps: 1, max_prompt_length: 48, max_length: 96 },
    ...{ eval_steps: 0, learning_rate: 2e-2 },
  });
  const during = page.getByRole('region', { name: 'Answers during the run' });
  await during.getByRole('button', { name: 'Every …' }).click();
  await during.getByLabel('Steps between answers').fill('2');
  await during.getByLabel('max_new_tokens').fill('16');
  await during.getByRole('listitem').nth(2).waitFor();
  await during.getByRole('button', { name: 'Edit' }).click();
  await during.getByRole('button', { name: 'Remove prompt 3' }).click();
  await during.getByRole('textbox', { name: 'Prompt 2' }).fill('Tell me a story about a duck.');
  await page.getByText('Keys and values in cache').waitFor();
  await page.locator('.plan:not(.stale)').waitFor();
  await looks('settings', during);
  await opened.studio.start();
  const told = page.getByRole('region', { name: 'Answers', exact: true });
  // The base model's come before the first step.
  await told.getByText('Before training').first().waitFor({ timeout: RUN_MS });
  expect(await opened.studio.ended()).toBe('Finished');
  expect(await told.locator('output').textContent()).toBe(String(STEPS));
  expect(await told.getByRole('listitem').count()).toBe(2);
  const story = told.getByRole('listitem').filter({ hasText: 'Tell me a story about a duck.' });
  const shown = () => story.locator('.sample-answer').allTextContents();
  const last = await shown();
  // Greedy and sampled, before and after.
  expect(last).toHaveLength(4);
  expect(last[2]).not.toBe(last[0]);
  await told.getByLabel('At step').fill('1');
  expect(await told.locator('output').textContent()).toBe('2');
  await told.getByLabel('At step').fill('3');
  expect(await shown()).toEqual(last);
  await looks('train', told);
});

it('base and tuned answer side by side, and an answer can be stopped', { timeout: RUN_MS }, async () => {
  const { page } = opened;
  await press('Try it');
  await press('Sampled');
  await page.getByLabel('Your message').fill('Tell me a story about a dog.');
  await press('Send to both');
  const tuned = new RegExp(`^Tuned, ${STEPS} steps$`);
  await answers(tuned).waitFor();
  const texts = await Promise.all([answers(/^Base$/), answers(tuned)].map((said) => said.textContent()));
  expect(texts[0]).not.toBe(texts[1]);
  await looks('chat');
  await page.getByLabel('Most new tokens').fill('400');
  await press('Tuned');
  // Another conversation than the one side by side.
  expect(await answers(tuned).count()).toBe(0);
  await page.getByLabel('Your message').fill('And then?');
  await press('Send');
  await page.getByText(/^Writing: [1-9]/).waitFor();
  await press('Stop');
  await answers(tuned)
    .getByText(/ · stopped$/)
    .waitFor();
  await page.getByLabel('Most new tokens').fill('24');
});

it('a blind vote hides whose answer is whose, and says what the tally is worth', { timeout: RUN_MS }, async () => {
  const { page } = opened;
  await press('Blind vote');
  await press('Start a blind vote');
  for (const [i, choice] of (['Left is better', 'Tie', 'Right is better'] as const).entries()) {
    await page.getByRole('region', { name: 'Left answer' }).waitFor();
    if (i === 1) {
      await page.getByText(/stays hidden until you reveal it/).waitFor();
      expect(await page.locator('main').textContent()).not.toMatch(/tuned \d|base \d/);
      await looks('vote');
    }
    await press(choice);
    await page.getByRole('heading', { name: new RegExp(`^${i + 1} blind votes? on this run$`) }).waitFor();
  }
  await page.getByRole('region', { name: 'Left answer' }).waitFor();
  await press('Reveal');
  await page.getByText(/^Too few to tell: 2 votes decided, and fewer than 6 cannot show/).waitFor();
  await press('End the vote');
  const counts = (await page.locator('.tally-counts').textContent())!;
  const [, tuned, tie, base] = /tuned (\d).*tie (\d).*base (\d)/.exec(counts)!.map(Number);
  expect([tuned + base, tie]).toEqual([2, 1]);
  await looks('tally');

  // Both are there again after a reload, with the run.
  await page.reload();
  await opened.studio.modelLoaded();
  await page.getByRole('button', { name: /^Runs ?,/ }).click();
  await page.getByRole('button', { name: /^More about/ }).click();
  await page.getByText(`tuned ${tuned}`).waitFor();
  await page.getByRole('region', { name: 'Answers on its way' }).getByText('Before training').first().waitFor();
  await looks('runs');
});

it('leaves the console empty', () => {
  expect(heard(opened)).toEqual([]);
});
