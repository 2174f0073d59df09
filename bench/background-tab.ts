/**
 * npm run -s background-tab -- [--chrome PATH] [--site DIR] [--software] [--seconds 20] [--rounds 3]
 *
 * Does training slow down in a tab that is not looked at? The built page trains the built-in model in Chromium, its tab in front
 * and behind another in turn; steps a second of each, by the clock of the page, and their ratio as one JSON line. Needs a
 * built site (`npm run build`).
 *
 * Playwright keeps every page it is connected to visible, so that it is disconnected while steps are counted: tabs are
 * switched by DevTools' HTTP interface.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { chromium, type Page } from 'playwright-core';
import { median } from '../src/bench/harness';
import { jsonl, shortRows } from '../tests/page/support/rows';
import { StudioPage } from '../tests/page/support/studio';
import { serveSite } from '../tests/support/site';
import { GPU_ARGS, QUIET_ARGS, SOFTWARE_ARGS } from './page-job/flags';
import { readTap, tapWorker } from './page-job/tap';

const { values } = parseArgs({
  options: {
    chrome: { type: 'string', default: process.env.CHROME_PATH ?? '/usr/bin/chromium' },
    site: { type: 'string', default: 'dist' },
    software: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '3' },
  },
});
const [seconds, rounds] = [Number(values.seconds), Number(values.rounds)];

type Seen = { time: number; state: DocumentVisibilityState }[];

/** For an init script: when the tab came to the front and went behind, on `window.seen`. */
function watchVisibility(): void {
  const seen: Seen = [];
  const note = () => seen.push({ time: performance.now(), state: document.visibilityState });
  document.addEventListener('visibilitychange', note);
  Object.assign(window, { seen });
}

/** Starts Chromium and answers the port of its DevTools. */
async function start(profile: string): Promise<{ child: ChildProcess; port: string }> {
  const args = values.software ? SOFTWARE_ARGS : GPU_ARGS;
  const child = spawn(
    values.chrome,
    [
      ...['--headless', '--remote-debugging-port=0', `--user-data-dir=${profile}`, '--enable-unsafe-webgpu'],
      ...QUIET_ARGS,
      ...args,
      'about:blank',
    ],
    { stdio: 'ignore' },
  );
  for (let tries = 0; tries < 100; tries++) {
    const text = await readFile(join(profile, 'DevToolsActivePort'), 'utf8').catch(() => '');
    if (text) return { child, port: text.split('\n')[0] };
    await sleep(200);
  }
  throw new Error(`${values.chrome} did not open its DevTools`);
}

/** Steps a second between neighbouring steps of one stretch of time. */
function rate(times: readonly number[], from: number, to: number): number {
  const inside = times.filter((time) => time >= from && time < to);
  if (inside.length < 3) throw new Error(`${inside.length} steps in ${seconds} s are too few: take more --seconds`);
  return ((inside.length - 1) * 1000) / (inside.at(-1)! - inside[0]);
}

async function begin(page: Page, url: string): Promise<void> {
  await page.addInitScript(tapWorker);
  await page.addInitScript(watchVisibility);
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.goto(url);
  const studio = new StudioPage(page);
  await studio.modelLoaded();
  await studio.drop('pairs.jsonl', jsonl(shortRows(32)));
  await studio.dataRead('pairs.jsonl', 32);
  await studio.settings({ max_steps: 100_000, gradient_accumulation_steps: 1, max_prompt_length: 48, max_length: 96 });
  await studio.start();
  await page.waitForFunction(
    () => (window as unknown as { tapped: { steps: unknown[] } }).tapped.steps.length > 4,
    null,
    {
      timeout: 180_000,
    },
  );
}

const site = await serveSite({ folder: resolve(values.site) });
const profile = await mkdtemp(join(tmpdir(), 'orpo-tab-'));
const { child, port } = await start(profile);
const devtools = `http://127.0.0.1:${port}`;
const connect = async () => {
  const browser = await chromium.connectOverCDP(devtools);
  return {
    browser,
    page: browser
      .contexts()[0]
      .pages()
      .find((page) => page.url().startsWith(site.url))!,
  };
};
try {
  const first = await chromium.connectOverCDP(devtools);
  await begin(first.contexts()[0].pages()[0], site.url);
  await first.close();
  const tabs: { id: string; url: string; type: string }[] = await (await fetch(`${devtools}/json/list`)).json();
  const studioTab = tabs.find(({ url }) => url.startsWith(site.url))!.id;
  const other: { id: string } = await (await fetch(`${devtools}/json/new?about:blank`, { method: 'PUT' })).json();
  for (let round = 0; round < rounds; round++) {
    for (const id of [studioTab, other.id]) {
      await fetch(`${devtools}/json/activate/${id}`);
      await sleep(seconds * 1000);
    }
  }
  await fetch(`${devtools}/json/activate/${studioTab}`);
  await sleep(500);
  const { browser, page } = await connect();
  const times = (await readTap(page)).steps.map(({ time }) => time);
  const seen = await page.evaluate(() => (window as unknown as { seen: Seen }).seen);
  await browser.close();
  const rates: Record<DocumentVisibilityState, number[]> = { visible: [], hidden: [] };
  for (const [i, { time, state }] of seen.entries()) {
    const end = seen[i + 1]?.time;
    if (end !== undefined && end - time > 0.8 * seconds * 1000) rates[state].push(rate(times, time, end));
  }
  const [front, behind] = [median(rates.visible), median(rates.hidden)];
  process.stdout.write(`${JSON.stringify({ ...rates, front, behind, ratio: behind / front })}\n`);
} finally {
  child.kill();
  if (child.exitCode === null) await once(child, 'exit');
  await site.close();
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
}
