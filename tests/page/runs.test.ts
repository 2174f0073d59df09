/**
 * Runs that are kept: cut off at seeded random steps by closing the page, ending the engine's thread or destroying the
 * device, each goes on to the very curve of a run that was not; the list of runs, and what comes out of it. With
 * ALL_KILLS=1 each kind of end falls at ten steps.
 */

import { mkdir } from 'node:fs/promises';
import AxeBuilder from '@axe-core/playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomPermutation } from '../../src/data/random';
import { type Site, serveSite } from '../support/site';
import { launch, type TestBrowser, visit } from './support/browser';
import { inOrder } from './support/in-order';
import { cutOff, KILLS, type Kill, watchDevice } from './support/kills';
import { jsonl, shortRows } from './support/rows';
import { RUN_MS, StudioPage } from './support/studio';

const STEPS = 12;
const SETTINGS = {
  max_steps: STEPS,
  per_device_train_batch_size: 1,
  gradient_accumulation_steps: 1,
  max_prompt_length: 24,
  max_length: 48,
  save_steps: 2,
  eval_steps: 5,
};
const PER_KIND = process.env.ALL_KILLS ? 10 : 1;

let site: Site;
let browser: TestBrowser;
let studio: StudioPage;
/** The log of a run that nobody cut off. */
let whole: string;

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const axe = async () => {
  const { violations } = await new AxeBuilder({ page: studio.page }).analyze();
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`);
};

async function log(): Promise<string> {
  await studio.goTo('Export');
  return text((await studio.download('Download log as JSONL')).bytes);
}

async function shot(name: string): Promise<void> {
  if (!process.env.SHOTS) return;
  await mkdir(process.env.SHOTS, { recursive: true });
  for (const theme of ['light', 'dark'] as const) {
    await studio.page.emulateMedia({ colorScheme: theme });
    await studio.page.waitForTimeout(300);
    await studio.page.screenshot({ path: `${process.env.SHOTS}/${name}-${theme}.png`, fullPage: true });
  }
  await studio.page.emulateMedia({ colorScheme: 'light' });
}

inOrder(() => studio?.page);

beforeAll(async () => {
  site = await serveSite();
  browser = await launch();
  const visited = await visit(browser, 'about:blank');
  await watchDevice(visited.context);
  await visited.page.goto(site.url);
  studio = new StudioPage(visited.page);
  await studio.modelLoaded();
  await studio.drop('pairs.jsonl', jsonl(shortRows(6)));
  await studio.dataRead('pairs.jsonl', 6);
  await studio.holdOut(30);
  await studio.settings(SETTINGS);
  await studio.page
    .getByRole('complementary', { name: 'Plan of the run' })
    .getByText(/^12 \(/)
    .waitFor();
  await studio.start();
  expect(await studio.ended()).toBe('Finished');
  whole = await log();
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});

const blows = KILLS.flatMap((kill, k) =>
  randomPermutation(STEPS - 2, 11 + k)
    .slice(0, PER_KIND)
    .map((step): [Kill, number] => [kill, step + 1]),
);

describe('a run that is cut off', () => {
  it.each(blows)(
    'by the end of the %s at step %i goes on to the same curve',
    { timeout: RUN_MS },
    async (kill, step) => {
      await studio.goTo('Train');
      if (!(await studio.page.getByRole('button', { name: /^Start (training|again)$/ }).isEnabled())) {
        // After a reload the dropped file is gone; only a new run needs it again.
        await studio.drop('pairs.jsonl', jsonl(shortRows(6)));
        await studio.dataRead('pairs.jsonl', 6);
      }
      await studio.start();
      const dialog = studio.page.getByRole('dialog').getByRole('button', { name: 'Discard it' });
      if (await dialog.isVisible().catch(() => false)) await dialog.click();
      const at = new RegExp(
        `^(${Array.from({ length: STEPS - step }, (_, i) => step + i).join('|')}) / ${STEPS} steps`,
      );
      await expect.poll(() => studio.progress, { timeout: RUN_MS, interval: 20 }).toMatch(at);
      studio = new StudioPage(await cutOff(studio.page, kill));
      await studio.page.getByRole('button', { name: /^Model ?, done/ }).waitFor({ timeout: 120_000 });
      await studio.goTo('Train');
      const banner = studio.page.getByRole('region', { name: 'A run that can go on' });
      await banner.waitFor();
      if (kill === 'page') {
        expect(await axe()).toEqual([]);
        await shot('resume');
      }
      await banner.getByRole('button', { name: /^(Continue from step \d+|Start it again)$/ }).click();
      expect(await studio.ended()).toBe('Finished');
      expect(await log()).toBe(whole);
    },
  );
});
