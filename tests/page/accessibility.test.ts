/** Every view in both themes through axe, the whole way by keyboard, and the page's policy. */

import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { violations } from './support/axe';
import { heard, openForFile } from './support/opened';
import { jsonl, shortRows } from './support/rows';
import { RUN_MS } from './support/studio';

const STEPS = ['Model', 'Data', 'Settings', 'Train', 'Chat', 'Evaluate', 'Export'] as const;

const opened = openForFile();
let page: Page;

/** Presses Tab until the focus is on the element of that role and name. */
async function tabTo(role: 'button' | 'textbox', name: RegExp): Promise<void> {
  const target = page.getByRole(role, { name }).first();
  for (let i = 0; i < 150; i++) {
    await page.keyboard.press('Tab');
    if (await target.evaluate((element) => element === document.activeElement)) return;
  }
  throw new Error(`150 times Tab did not come to ${role} ${name}`);
}

const focusIsSeen = () =>
  page.evaluate(() => {
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(document.activeElement!);
    return (outlineStyle !== 'none' && Number.parseFloat(outlineWidth) > 0) || boxShadow !== 'none';
  });

beforeAll(async () => {
  ({ page } = opened);
  await opened.studio.modelLoaded();
});

describe('by keyboard alone', () => {
  it('goes through the steps, trains and exports', { timeout: RUN_MS }, async () => {
    await opened.studio.drop('pairs.jsonl', jsonl(shortRows(8)));
    await opened.studio.dataRead('pairs.jsonl', 8);
    await page.keyboard.press('Tab');
    for (const name of STEPS.slice(0, 3)) {
      await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
      await tabTo('button', new RegExp(`^${name} ?,`));
      expect(await focusIsSeen(), `the focus on ${name} can be seen`).toBe(true);
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { level: 1, name }).waitFor();
    }
    for (const [key, value] of [
      ['max_steps', '4'],
      ['gradient_accumulation_steps', '1'],
      ['max_length', '96'],
    ]) {
      await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
      await tabTo('textbox', new RegExp(`\\b${key}$`));
      await page.keyboard.press('Control+A');
      await page.keyboard.type(value);
    }
    // Less than the longest sequence, so that the run is planned.
    await tabTo('textbox', /\bmax_prompt_length$/);
    await page.keyboard.press('Control+A');
    await page.keyboard.type('48');
    await tabTo('button', /^Continue to training$/);
    await page.keyboard.press('Enter');
    const start = page.getByRole('button', { name: 'Start training' });
    await expect.poll(() => start.isEnabled()).toBe(true);
    await tabTo('button', /^Start training$/);
    await page.keyboard.press('Enter');
    expect(await opened.studio.ended()).toBe('Finished');
    // What a screen reader is told at the end.
    await page
      .getByTestId('announcements')
      .getByText('Training finished after 4 steps.')
      .waitFor({ state: 'attached' });
    await tabTo('button', /^Continue to export$/);
    await page.keyboard.press('Enter');
    await tabTo('button', /^Download adapter as zip$/);
    const download = page.waitForEvent('download');
    await page.keyboard.press('Enter');
    expect((await download).suggestedFilename()).toBe('stories-260k-orpo-adapter.zip');
  });
});

describe.each(['light', 'dark'] as const)('in the %s theme', (theme) => {
  it.each(STEPS)('axe finds nothing on the step %s', async (name) => {
    await page.emulateMedia({ colorScheme: theme });
    await expect.poll(() => page.evaluate(() => document.documentElement.dataset.theme)).toBe(theme);
    await opened.studio.goTo(name);
    await page.waitForFunction(() => document.getAnimations().every((a) => a.playState !== 'running'));
    expect(await violations(page)).toEqual([]);
  });

  it.each([1280, 390])('nothing is wider than a window of %i', async (width) => {
    await page.setViewportSize({ width, height: 720 });
    for (const name of STEPS) {
      await opened.studio.goTo(name);
      const beyond = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      expect(beyond, `pixels of ${name} beyond ${width}`).toBe(0);
    }
    await page.setViewportSize({ width: 1440, height: 900 });
  });
});

describe('the page', () => {
  it('has a strict policy: no inline script, no eval, no other host but model hosts', async () => {
    const policy = await page.locator('meta[http-equiv="Content-Security-Policy"]').getAttribute('content');
    const rules = Object.fromEntries(policy!.split(';').map((rule) => rule.trim().split(/ (.*)/).slice(0, 2)));
    expect(rules).toMatchObject({ 'default-src': "'self'", 'script-src': "'self'", 'object-src': "'none'" });
    expect(rules['connect-src'].split(' ').filter((host: string) => !/huggingface\.co$|\.hf\.co$/.test(host))).toEqual([
      "'self'",
    ]);
    expect(policy).not.toMatch(/unsafe|\s\*/);
  });

  it('leaves the console empty and other hosts alone', () => {
    expect(heard(opened)).toEqual([]);
  });
});
