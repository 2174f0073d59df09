/** The data step of the built page in Chromium: formats, columns, prompt formats, checks, tokens. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fixture } from '../support/files';
import { type Site, serveSite } from '../support/site';
import { violations } from './support/axe';
import { launch, quiet, type TestBrowser, type Watched } from './support/browser';
import { DataStep } from './support/data-step';
import { inOrder } from './support/in-order';
import { jsonl, shortRows } from './support/rows';
import type { StudioPage } from './support/studio';

/** Set to keep pictures of the token view and the histogram. */
const PICTURES = process.env.STUDIO_PICTURES;

let site: Site;
let browser: TestBrowser;
let visited: Watched;
let studio: StudioPage;
let step: DataStep;

beforeAll(async () => {
  site = await serveSite();
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});

const region = (name: string) => step.region(name);
const pairPanel = () => step.pairPanel();
const list = () => step.list();
const side = (title: 'Chosen' | 'Rejected') => step.side(title);

async function openData(url: string, colorScheme: 'light' | 'dark' = 'light'): Promise<void> {
  step = await DataStep.open(browser, url, colorScheme);
  ({ visited, studio } = step);
}

/** Sets the two lengths on the settings step, and comes back. */
async function limit(maxLength: number, maxPromptLength: number): Promise<void> {
  await studio.goTo('Settings');
  await studio.setNumber('max_length', maxLength);
  await studio.setNumber('max_prompt_length', maxPromptLength);
  await studio.goTo('Data');
}

async function picture(name: string): Promise<void> {
  if (!PICTURES) return;
  await mkdir(PICTURES, { recursive: true });
  await region('Lengths').screenshot({ path: join(PICTURES, `lengths-${name}.png`) });
  await pairPanel().screenshot({ path: join(PICTURES, `tokens-${name}.png`) });
  await studio.page.screenshot({ path: join(PICTURES, `data-${name}.png`), fullPage: true });
}

const zh = async () => gunzipSync(await fixture('tests/fixtures/data/preference/string_triples_zh.jsonl.gz'));

describe('the data step', () => {
  inOrder();
  beforeAll(() => openData(site.url));
  afterAll(() => visited?.context.close());

  it('recognises the schemas of dropped files, gzipped and Parquet ones as well', async () => {
    const drop = async (path: string, schema: RegExp) => {
      const name = path.split('/').at(-1)!;
      await studio.drop(name, await fixture(`tests/fixtures/data/${path}`));
      const card = region('Training file');
      await card.getByText(name, { exact: true }).waitFor();
      expect(await card.textContent()).toMatch(schema);
    };
    await drop('preference/message_lists_system.jsonl.gz', /Read as .*turns/);
    await drop('preference/openai_dpo.jsonl.gz', /Read as .*preferred_output/);
    await drop('parquet/stories_snappy.parquet', /Parquet/);
  });

  it('refuses unpaired rows with the reason and keeps what was there', async () => {
    await studio.drop('unpaired_kto.json.gz', await fixture('tests/fixtures/data/preference/unpaired_kto.json.gz'));
    await studio.page
      .getByRole('alert')
      .getByText(/unpaired.*ORPO needs two answers/)
      .waitFor();
    await region('Training file').getByText('stories_snappy.parquet', { exact: true }).waitFor();
    await studio.page.getByRole('alert').getByRole('button', { name: 'Dismiss' }).click();
  });

  it('asks which fields hold what, and reads them so', async () => {
    const rows = shortRows(12).map(({ prompt, chosen, rejected }) => ({ ask: prompt, up: chosen, down: rejected }));
    await studio.drop('odd.jsonl', jsonl(rows));
    const card = region('Name the fields');
    await card.getByLabel('Prompt', { exact: true }).selectOption('ask');
    await card.getByLabel('Chosen answer').selectOption('up');
    await card.getByLabel('Rejected answer').selectOption('down');
    await card.getByRole('button', { name: 'Read it this way' }).click();
    await studio.dataRead('odd.jsonl', 12);
    expect(await region('Training file').textContent()).toContain('ask / up / down');
    await card.waitFor({ state: 'detached' });
  });

  it('takes pasted rows, several files at once, and a row limit', async () => {
    await studio.page.getByRole('button', { name: 'Paste rows' }).click();
    await studio.page.getByLabel(/^Rows as JSON lines/).fill('prompt,chosen,rejected\nHi,"Hello, you",Go away\n');
    await studio.page.getByRole('button', { name: 'Read these rows' }).click();
    await studio.dataRead('pasted rows', 1);

    await studio.page.getByLabel('Read', { exact: true }).selectOption('first');
    await studio.page.getByLabel('Rows to read').fill('20');
    const file = (name: string) => ({
      name,
      mimeType: 'application/jsonl',
      buffer: Buffer.from(jsonl(shortRows(15))),
    });
    await studio.page.getByLabel('Choose other training files').setInputFiles([file('a.jsonl'), file('b.jsonl')]);
    await studio.dataRead('a.jsonl, b.jsonl', 20);
    expect(await region('Training file').textContent()).toContain('The rest was not read.');
    await studio.page.getByLabel('Read', { exact: true }).selectOption('all');
  });

  it('finds duplicates, removes them and brings them back', async () => {
    const rows = shortRows(20);
    await studio.drop('twice.jsonl', jsonl([...rows, ...rows.slice(0, 3)]));
    await studio.dataRead('twice.jsonl', 23);
    const finding = region('Checks').getByRole('listitem').filter({ hasText: 'Repeated rows' });
    await finding.getByText('3 rows').waitFor();
    await finding.getByRole('button', { name: 'Show repeated rows' }).click();
    await expect.poll(() => list().getByRole('option').count()).toBe(3);
    await finding.getByRole('button', { name: 'Remove repeated rows' }).click();
    const card = region('Training file');
    await card.getByText('Taken out: 3 repeated. 20 rows left.').waitFor();
    await finding.waitFor({ state: 'detached' });
    await card.getByRole('button', { name: 'Undo' }).click();
    await finding.getByText('3 rows').waitFor();
    await studio.page.getByRole('button', { name: 'Show all' }).click();
  });

  it('searches all pairs', async () => {
    const { chosen } = shortRows(20)[13];
    await studio.page.getByLabel('Search the pairs').fill(chosen.slice(10, 60).toUpperCase());
    await expect.poll(() => list().getByRole('option').count()).toBe(1);
    await studio.page.getByLabel('Search the pairs').fill('no such words in them');
    await studio.page.getByText('No pair matches.').waitFor();
    await studio.page.getByLabel('Search the pairs').fill('');
  });

  it('shows a pair in the prompt format chosen, token by token', async () => {
    const format = region('Prompt format').getByLabel('Format', { exact: true });
    await format.selectOption('alpaca');
    await pairPanel().getByRole('button', { name: 'Text', exact: true }).click();
    await pairPanel().getByText('### Instruction:').waitFor();
    await region('Prompt format').getByLabel('System turn').fill('Answer like a pirate.');
    await region('Prompt format').getByLabel('System turn').blur();
    await pairPanel().getByText('Answer like a pirate.').waitFor();
    await format.selectOption('chatml');
    await region('Checks').getByText('Marks are plain letters').waitFor();
    await expect.poll(() => studio.step('Data').textContent()).toContain('ChatML');
    await region('Prompt format').getByLabel('System turn').fill('');
    await pairPanel().getByRole('button', { name: 'Tokens', exact: true }).click();
    const chosen = side('Chosen');
    const special = () => chosen.locator('.t-special').allTextContents();
    await region('Prompt format').getByRole('button', { name: 'Add two tokens' }).click();
    await region('Prompt format').getByText('This model knows ChatML now.').waitFor();
    await region('Checks').getByText('Marks are plain letters').waitFor({ state: 'detached' });
    await expect.poll(special).toEqual(['<|im_start|>', '<|im_end|>', '<|im_start|>', '<|im_end|>', '<|im_end|>']);
    await picture('chatml');
    await region('Prompt format').getByRole('button', { name: 'Take it back' }).click();
    await region('Prompt format').getByRole('button', { name: 'Add two tokens' }).waitFor();
    await format.selectOption('as-is');
    // ChatML has as many tokens: what tells the two apart is waited for.
    await expect.poll(() => chosen.locator('.t-special').first().textContent()).toBe('<s>');
    expect(await chosen.locator('.t-odds').count()).toBeGreaterThan(20);
    expect(await chosen.locator('.tok').last().textContent()).toBe('</s>');
    expect(await chosen.locator('.t-nll').count()).toBeGreaterThan(3);
    expect(await side('Rejected').locator('.t-shared').count()).toBeGreaterThan(3);
    // By keyboard and by pointer: the id of a token.
    await chosen.focus();
    await chosen.press('End');
    await pairPanel()
      .getByText(/^Token \d+: id 2, "<\/s>"; trained in the NLL and the odds ratio, special\.$/)
      .waitFor();
    await side('Rejected').locator('.t-shared').first().hover();
    await pairPanel()
      .getByText(/^Token \d+: id \d+, .*; not trained, shared by both\.$/)
      .waitFor();
  });

  it('shows what a lower limit cuts, and lists it', async () => {
    await limit(60, 30);
    const lengths = region('Lengths');
    await lengths.getByRole('button', { name: 'Show pairs that are cut' }).click();
    await expect.poll(() => side('Chosen').locator('.t-cut').count()).toBeGreaterThan(3);
    expect(await side('Chosen').locator('.tok').last().getAttribute('class')).toContain('t-special');
    expect(await lengths.getByRole('figure').textContent()).toMatch(/limit 60; \d+ cut/);
    await lengths.getByLabel('What is too long').selectOption('none');
    await expect.poll(() => lengths.getByRole('figure').textContent()).toMatch(/limit 60; 0 cut, 0 left out/);
    await lengths.getByLabel('What is too long').selectOption('sane');
    await limit(400, 128);
    await studio.page.getByRole('button', { name: 'Show all' }).click();
  });

  it('downloads the prepared rows as JSON lines', async () => {
    await region('Prompt format').getByLabel('Format', { exact: true }).selectOption('llama-3');
    await pairPanel().getByText('<|begin_of_text|>').first().waitFor();
    const { name, bytes } = await studio.download('Download prepared rows');
    expect(name).toBe('twice.train.jsonl');
    const lines = new TextDecoder()
      .decode(bytes)
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.length).toBeGreaterThan(15);
    for (const line of lines) {
      expect(Object.keys(line)).toEqual(['prompt', 'chosen', 'rejected']);
      expect(line.prompt).toMatch(/^<\|begin_of_text\|><\|start_header_id\|>user<\|end_header_id\|>\n\n\w/);
      expect(line.chosen.endsWith('<|eot_id|>')).toBe(true);
    }
    await region('Prompt format').getByLabel('Format', { exact: true }).selectOption('auto');
  });

  it('splits by prompt or by row', async () => {
    await studio.holdOut(30);
    await expect.poll(() => region('Held-out pairs').textContent()).toMatch(/1[56] to train on, [78] held out/);
    await region('Held-out pairs').getByRole('button', { name: 'by row' }).click();
    await region('Held-out pairs')
      .getByText(/on both sides, so the held-out curves/)
      .waitFor();
    await region('Held-out pairs').getByRole('button', { name: 'by prompt' }).click();
    await region('Held-out pairs')
      .getByText(/on both sides, so the held-out curves/)
      .waitFor({ state: 'detached' });
    await studio.holdOut(10);
  });

  it('says what is wrong when the hub cannot be reached, and keeps the token to itself', async () => {
    await studio.page.getByRole('button', { name: 'Hugging Face' }).click();
    await studio.page.getByLabel('Data set').fill('someone/rows');
    await studio.page.getByLabel(/^Access token/).fill('hf_secret');
    await studio.page.getByRole('button', { name: 'Find it' }).click();
    await studio.page
      .getByRole('alert')
      .getByText('The Hugging Face hub cannot be reached (huggingface.co).')
      .waitFor();
    const kept = await studio.page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
    expect(kept).not.toContain('hf_secret');
    expect(visited.foreign.filter((address) => !address.startsWith('https://huggingface.co/'))).toEqual([]);
    await studio.page.getByRole('alert').getByRole('button', { name: 'Dismiss' }).click();
    await studio.page.getByRole('button', { name: 'Hugging Face' }).click();
  });
});

describe.each(['light', 'dark'] as const)('in the %s theme', (theme) => {
  afterEach(() => visited?.context.close());

  it('axe finds nothing, with pairs that are cut and in any script', async () => {
    await openData(site.url, theme);
    const rows = [
      ...shortRows(60),
      { prompt: 'اكتب جملة عن البحر.\n', chosen: 'البحر واسع وجميل، وأمواجه هادئة.', rejected: 'لا أعرف.' },
      { prompt: 'Say it with pictures.\n', chosen: '👩‍🚀🚀🌍 Ω≈ç', rejected: '🙈' },
    ];
    await studio.drop('scripts.jsonl', Buffer.concat([Buffer.from(jsonl(rows)), await zh()]));
    await studio.dataRead('scripts.jsonl', 304);
    await studio.holdOut(0);
    await limit(110, 50);
    await step.inspected();
    await region('Lengths').getByRole('button', { name: 'Show pairs that are cut' }).click();
    await expect.poll(() => side('Chosen').locator('.t-cut').count()).toBeGreaterThan(0);
    expect(await violations(studio.page)).toEqual([]);
    await picture(theme);
    await studio.page.getByRole('button', { name: 'Show all' }).click();
    await studio.page.getByLabel('Search the pairs').fill('البحر');
    await expect.poll(() => side('Chosen').textContent()).toContain('ال');
    await picture(`arabic-${theme}`);
    await studio.page.getByLabel('Search the pairs').fill('pictures');
    await expect.poll(() => side('Chosen').textContent()).toContain('Ω');
    await picture(`emoji-${theme}`);
    expect(quiet(visited, { ...browser, outside: [] })).toEqual([]);
  });
});
