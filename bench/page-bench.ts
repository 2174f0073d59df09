/**
 * npm run -s page-bench -- [--chrome PATH] [--site DIR] [--software] [--tier auto|f32|f16|subgroup-matrix] [--only SECTION[,SECTION…]]
 *                         [--quick] [--chrome-args "…"] [--out FILE] [--picture FILE] [--timeout SECONDS]
 *
 * The benchmark's page in Chromium on this machine's GPU: chooses sections and tier as a visitor does, prints what the page shows
 * and writes the JSON that it offers. Needs a built site (`npm run build`). Status 1 when a section fails.
 */
import { copyFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { SECTION_NAMES, SECTIONS_ABOUT } from '../src/bench-page/sections';
import { serveSite } from '../tests/support/site';
import { GPU_ARGS, QUIET_ARGS, SOFTWARE_ARGS } from './page-job/flags';

const { values } = parseArgs({
  options: {
    chrome: { type: 'string', default: process.env.CHROME_PATH ?? '/usr/bin/chromium' },
    site: { type: 'string', default: 'dist' },
    software: { type: 'boolean', default: false },
    tier: { type: 'string', default: 'auto' },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    'chrome-args': { type: 'string', default: '' },
    out: { type: 'string' },
    picture: { type: 'string' },
    timeout: { type: 'string', default: '600' },
  },
});
const BUTTONS: Record<string, string> = { auto: 'Auto', f32: 'f32', f16: 'f16', 'subgroup-matrix': 'Matrix' };
const timeout = Number(values.timeout) * 1000;
const wanted = values.only?.split(',') ?? null;

const site = await serveSite({ folder: resolve(values.site) });
const browser = await chromium.launch({
  executablePath: values.chrome,
  args: [
    ...QUIET_ARGS,
    '--enable-unsafe-webgpu',
    ...(values.software ? SOFTWARE_ARGS : GPU_ARGS),
    ...values['chrome-args'].split(' ').filter(Boolean),
  ],
});
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, acceptDownloads: true });
  page.on('console', (message) => process.stderr.write(`${message.type()}: ${message.text()}\n`));
  await page.goto(new URL('bench.html', site.url).href);
  const measure = page.getByRole('button', { name: 'Measure' });
  await measure.and(page.locator(':enabled')).waitFor({ timeout });
  // biome-ignore lint/performance/useDomNodeTextContent: as it is laid out, lines and all
  process.stdout.write(`Chromium ${browser.version()}, ${await page.locator('.bench-device').innerText()}\n`);
  if (wanted) {
    for (const name of SECTION_NAMES) {
      const box = page.getByRole('checkbox', { name: new RegExp(`^${SECTIONS_ABOUT[name].title} `) });
      if (await box.isEnabled()) await box.setChecked(wanted.includes(name));
    }
  }
  const quick = page.getByRole('checkbox', { name: /^Quick/ });
  await quick.setChecked(values.quick || values.software);
  await page.getByRole('button', { name: BUTTONS[values.tier], exact: true }).click();
  const began = performance.now();
  await measure.click();
  await page.getByRole('button', { name: 'Stop' }).waitFor();
  await measure.waitFor({ timeout });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  for (const region of await page.getByRole('region').all()) {
    // biome-ignore lint/performance/useDomNodeTextContent: as it is laid out, lines and all
    const text = await region.innerText();
    process.stdout.write(`${text.replaceAll('\t', '  ')}\n\n`);
    if (/\bfailed\b/.test(text.split('\n').slice(0, 3).join(' '))) process.exitCode = 1;
  }
  process.stdout.write(`measured in ${seconds} s\n`);
  if (values.picture) await page.screenshot({ path: values.picture, fullPage: true });
  if (values.out) {
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download JSON' }).click(),
    ]);
    await copyFile(await download.path(), values.out);
  }
} finally {
  await browser.close();
  await site.close();
}
