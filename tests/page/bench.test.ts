/** The benchmark page: what can be measured in software is, in tables and as JSON, with a warning. */
import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { beforeAll, expect, it } from 'vitest';
import { violations } from './support/axe';
import { heard, openForFile } from './support/opened';
import { shot } from './support/shots';

const RUN_MS = 120_000;

const opened = openForFile();
let page: Page;
beforeAll(() => {
  ({ page } = opened);
});

const section = (name: string) => page.getByRole('checkbox', { name: new RegExp(`^${name} `) });
const result = (name: string) => page.getByRole('region', { name, exact: true });

it('is linked from the device card, names the adapter, and warns that it is not a real GPU', async () => {
  await page.getByRole('complementary', { name: 'Device' }).getByRole('link', { name: 'The benchmark' }).click();
  await page.getByRole('heading', { name: 'Benchmark', level: 1 }).waitFor();
  await page.getByRole('heading', { name: 'This is not a real GPU' }).waitFor();
  await page.getByText(/^google swiftshader/i).waitFor();
  expect(await page.getByRole('checkbox', { name: /^Quick/ }).isChecked()).toBe(true);
  // Hours on a processor.
  for (const name of ['Matrix products', 'Fitting to the GPU']) {
    expect(await section(name).isDisabled()).toBe(true);
    expect(await section(name).isChecked()).toBe(false);
  }
  expect(await page.getByRole('button', { name: 'f16', exact: true }).isDisabled()).toBe(true);
  expect(await page.getByRole('button', { name: 'Download JSON' }).isDisabled()).toBe(true);
});

it('measures what is chosen: a table, lines, and a file with all of it', { timeout: 2 * RUN_MS }, async () => {
  expect(await section('Memory').isChecked()).toBe(true);
  expect(await section('Training step').isChecked()).toBe(true);
  await section('Tokenising').uncheck();
  await page.getByRole('button', { name: 'Measure' }).click();
  await result('Memory').getByText('measuring').waitFor();
  await result('Training step').getByText('done').waitFor({ timeout: RUN_MS });
  await page.getByRole('button', { name: 'Measure' }).waitFor();
  const row = result('Memory').getByRole('row').nth(1);
  expect(await row.textContent()).toMatch(/^copy[\d.]+[\d.]+ to [\d.]+[\d.]+ GB\/s$/);
  await result('Training step')
    .getByText(/2 pairs x 2 x 64 tokens, 32 shared: \d+ ms/)
    .waitFor();
  expect(await result('Tokenising').count()).toBe(0);

  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download JSON' }).click(),
  ]);
  expect(download.suggestedFilename()).toBe('orpo-studio-bench.json');
  const report = JSON.parse(await readFile(await download.path(), 'utf8'));
  expect(report).toMatchObject({ tier: 'f32', isSoftware: true, quick: true, faults: [] });
  expect(report.adapter).toMatch(/swiftshader/i);
  expect(report.results).toEqual([expect.objectContaining({ group: 'ceiling', name: 'copy' })]);
  expect(report.results[0].gbps).toBeGreaterThan(0.01);
  expect(report.steps).toHaveLength(2);
  for (const { ms, loss } of report.steps) {
    expect(ms).toBeGreaterThan(0);
    expect(loss).toBeGreaterThan(1);
  }
  await shot(page, 'bench');
});

it('can be stopped, and keeps what was measured by then', async () => {
  await page.getByRole('button', { name: 'Measure' }).click();
  await result('Memory').getByText('done').waitFor({ timeout: RUN_MS });
  await page.getByRole('button', { name: 'Stop' }).click();
  await result('Training step').getByText('stopped').waitFor();
  expect(await result('Memory').getByRole('row').count()).toBe(2);
  expect(await page.getByRole('button', { name: 'Measure' }).isEnabled()).toBe(true);
});

it('is quiet, and sound in both themes', async () => {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    expect(await violations(page)).toEqual([]);
  }
  expect(heard(opened)).toEqual([]);
});
