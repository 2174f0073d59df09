/** The command as a person runs it, bundled once. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const fixtures = join(root, 'tests/fixtures/data');
const pocket = join(fixtures, 'pocket-15m');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'prepare-'));
  const bundled = spawnSync(process.execPath, [join(root, 'scripts/run.mjs'), 'prepare', '--bundle-only']);
  expect(bundled.status).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true }));

const prepare = (...args: string[]) => {
  const out = join(folder, 'rows.jsonl');
  rmSync(out, { force: true });
  const run = spawnSync(process.execPath, [join(root, 'build/cli/prepare.mjs'), ...args], { encoding: 'utf8' });
  const rows = existsSync(out)
    ? readFileSync(out, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as unknown)
    : null;
  return { status: run.status, stdout: run.stdout, stderr: run.stderr, rows };
};
const file = (name: string, content: string | Uint8Array) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const out = () => ['--out', join(folder, 'rows.jsonl')];

describe('prepare', () => {
  it('writes the rows of the golden from the set it was made of', () => {
    const data = join(root, 'public/data/politeness.json');
    const run = prepare('--data', data, '--model', pocket, ...out());
    expect(run.status).toBe(0);
    expect(JSON.parse(run.stdout)).toEqual({
      schema: 'instruction + input / chosen / rejected',
      format: 'JSON',
      prompt_format: 'chat-template',
      rows: 1100,
      pairs: 1094,
      truncated: 0,
      duplicates: 0,
      problems: { 'chosen-equals-rejected': 6 },
    });
    const golden = gunzipSync(readFileSync(join(pocket, 'train.jsonl.gz')))
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as unknown);
    expect(run.rows?.slice(0, golden.length)).toEqual(golden);
    expect(run.stderr).toContain('politeness.json, row 123: chosen-equals-rejected');
  });

  it('takes several files, named columns, a format and a config', () => {
    const one = file('one.csv', 'q,good,bad\nHi,Yes,No\nHi,Yes,No\n');
    const long = 'word '.repeat(300);
    const two = file('two.jsonl', `${JSON.stringify({ q: long, good: 'Yes', bad: 'No' })}\n`);
    const config = file('config.json', JSON.stringify({ max_length: 20, max_prompt_length: 64, truncation: 'sane' }));
    const schema = 'prompt=q,chosen=good,rejected=bad';
    const run = prepare(
      ...['--data', one, '--data', two, '--model', pocket, '--schema', schema],
      ...['--prompt-format', 'as-is', '--config', config, '--drop-duplicates', ...out()],
    );
    expect(run.status).toBe(0);
    expect(run.rows).toEqual([{ prompt: 'Hi\n', chosen: 'Yes', rejected: 'No' }]);
    expect(JSON.parse(run.stdout)).toMatchObject({
      rows: 3,
      pairs: 1,
      format: 'CSV, JSONL',
      prompt_format: 'as-is',
      problems: { duplicate: 1, 'no-answer-tokens': 1 },
    });
  });

  it('ends with 2 and the reason where a file holds no pairs, and leaves no file', () => {
    const kto = file('kto.json', gunzipSync(readFileSync(join(fixtures, 'preference/unpaired_kto.json.gz'))));
    const run = prepare('--data', kto, '--model', pocket, ...out());
    expect([run.status, run.stdout, run.rows]).toEqual([2, '', null]);
    expect(run.stderr).toContain('unpaired: This file is unpaired');
    const empty = prepare('--data', file('empty.jsonl', ''), '--model', pocket, ...out());
    expect([empty.status, empty.stderr.startsWith('empty-file:')]).toEqual([2, true]);
  });

  it('says how it is used, and keeps quiet when npm runs it after an install', () => {
    expect(prepare('--dat', 'x').stderr).toContain('usage: npm run -s prepare');
    expect(prepare('--data', 'x', ...out(), '--prompt-format', 'nope').stderr).toContain('--prompt-format is one of');
    const { npm_command: _, ...env } = process.env;
    const silent = spawnSync(process.execPath, [join(root, 'scripts/prepare.mjs')], { encoding: 'utf8', env });
    expect([silent.status, silent.stdout, silent.stderr]).toEqual([0, '', '']);
  });
});
