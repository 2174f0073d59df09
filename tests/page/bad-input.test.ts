/** Files that cannot be used, wholly or in part: the page says which line, and why, and loses nothing. */
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { heard, openForFile } from './support/opened';
import { jsonl, shortRows } from './support/rows';

const GOOD = shortRows(5);
const LARGE_BYTES = 200_000_000;

const opened = openForFile();

/** The table of rows left out: line, reason, details. */
async function leftOut(file: string): Promise<[line: number, reason: string, details: string][]> {
  // Many problems are folded away until they are asked for.
  const folded = opened.page.locator('details.problems:not([open]) > summary');
  if (await folded.count()) await folded.click();
  const rows = opened.page.getByRole('region', { name: `Rows left out of ${file}` }).getByRole('row');
  await rows.nth(1).waitFor({ state: 'attached' });
  const cells = await rows.evaluateAll((all) =>
    all.slice(1).map((r) => [...r.children].map((c) => c.textContent ?? '')),
  );
  return cells.map(([line, reason, details]) => [Number(line), reason, details]);
}

/** Waits for the alert, and puts it away. */
async function refused(code: string, says: RegExp): Promise<void> {
  const alert = opened.page.getByRole('alert').filter({ hasText: says });
  await alert.waitFor();
  expect(await alert.locator('code').textContent()).toBe(code);
  await alert.getByRole('button', { name: 'Dismiss' }).click();
  await alert.waitFor({ state: 'detached' });
}

beforeAll(async () => {
  await opened.studio.modelLoaded();
});

describe('bad input', () => {
  it('names each bad line with its reason; the good ones can be trained on', async () => {
    const [a, b, c, d, e] = GOOD;
    const lines = [
      JSON.stringify(a),
      '{"prompt": "Once", "chosen": ',
      JSON.stringify(b),
      '',
      JSON.stringify({ prompt: 'Once', chosen: 'upon a time' }),
      JSON.stringify({ prompt: 'Once', chosen: '  ', rejected: 'upon' }),
      JSON.stringify(c),
      JSON.stringify({ prompt: 'Once', chosen: 'upon', rejected: 'upon' }),
      JSON.stringify({ prompt: 'Once', chosen: 7, rejected: 'upon' }),
      '["Once", "upon", "a time"]',
      JSON.stringify(d),
      JSON.stringify(e),
    ];
    await opened.studio.drop('mixed.jsonl', `${lines.join('\n')}\n`);
    await opened.studio.dataRead('mixed.jsonl', 5);
    expect(await leftOut('mixed.jsonl')).toEqual([
      [2, 'not JSON', expect.stringContaining('This is not valid JSON')],
      [5, 'a field is missing', 'The field "rejected" is missing.'],
      [6, 'empty answer', 'The chosen answer is empty.'],
      [8, 'chosen equals rejected', 'The chosen and the rejected answer are the same.'],
      [9, 'wrong type', expect.stringContaining('"chosen" holds a number')],
      [10, 'not an object', expect.stringContaining('a list instead of an object')],
    ]);
    await opened.studio.goTo('Train');
    await expect.poll(() => opened.page.getByRole('button', { name: 'Start training' }).isEnabled()).toBe(true);
  });

  it('names a line that is not text', async () => {
    const bytes = Buffer.concat([Buffer.from(jsonl(GOOD)), Buffer.from([0x7b, 0xff, 0xfe, 0x0a])]);
    await opened.studio.drop('latin.jsonl', bytes);
    await opened.studio.dataRead('latin.jsonl', 5);
    expect(await leftOut('latin.jsonl')).toEqual([[6, 'not text', expect.stringContaining('not UTF-8')]]);
  });

  it('refuses a whole file with its reason, and keeps the data that was there', async () => {
    await opened.studio.drop('empty.jsonl', '');
    await refused('empty-file', /empty\.jsonl/);
    await opened.studio.drop('blank.jsonl', '\n\n  \n');
    await refused('empty-file', /blank\.jsonl is empty/);
    const noise = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7919) & 0xff);
    await opened.studio.drop('noise.bin', noise);
    await refused('not-text', /noise\.bin/);
    await opened.studio.drop('poem.txt', 'Roses are red\nviolets are blue\n');
    await refused('no-usable-rows', /None of the 2 lines .* Line 1: /);
    await opened.studio.drop('same.jsonl', jsonl([{ prompt: 'a', chosen: 'b', rejected: 'b' }]));
    await refused('no-usable-rows', /Line 1: The chosen and the rejected answer are the same/);
    await opened.studio.dataRead('latin.jsonl', 5);
  });

  it('a settings value that is not allowed holds the run back, and says what is', async () => {
    await opened.studio.goTo('Settings');
    const before = Number(await opened.page.getByLabel(/lora_r$/).inputValue());
    await opened.studio.settings({ lora_r: 0 });
    await opened.page.getByText('This may be from 1 up to 512.').waitFor();
    await opened.studio.goTo('Train');
    await opened.page.getByText('Some settings have to be mended').waitFor();
    expect(await opened.page.getByRole('button', { name: 'Start training' }).isDisabled()).toBe(true);
    // It is still there to be mended, and the value that was good before is good again.
    await opened.studio.goTo('Settings');
    const rank = opened.page.getByLabel(/lora_r$/);
    expect(await rank.inputValue()).toBe('0');
    expect(await rank.getAttribute('aria-invalid')).toBe('true');
    await opened.studio.settings({ lora_r: before });
    await opened.studio.goTo('Train');
    await expect.poll(() => opened.page.getByRole('button', { name: 'Start training' }).isEnabled()).toBe(true);
  });

  it('reads a file of 200 MB to its end: good rows stay, the endless line is named', { timeout: 180_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'orpo-page-'));
    try {
      const path = join(folder, 'large.jsonl');
      const file = await open(path, 'w');
      await file.write(jsonl(GOOD.slice(0, 4)));
      const piece = 'x'.repeat(LARGE_BYTES / 20);
      for (let i = 0; i < 20; i++) await file.write(piece);
      await file.write(`\n${jsonl(GOOD.slice(4))}`);
      await file.close();
      const started = Date.now();
      await opened.studio.dropPath(path);
      await opened.studio.dataRead('large.jsonl', 5);
      expect(Date.now() - started).toBeLessThan(60_000);
      expect(await leftOut('large.jsonl')).toEqual([
        [5, 'line too long', expect.stringContaining('longer than 16 MB')],
      ]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('leaves the console empty and other hosts alone', () => {
    expect(heard(opened)).toEqual([]);
  });
});
