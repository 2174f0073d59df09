import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { MAX_PROBLEMS, mergeParsed, PREVIEW_ROWS, parsePreferenceData } from '../../src/data/parse';
import { streamOf } from './support';

const good = { prompt: 'P', chosen: 'yes', rejected: 'no' };
const parse = (data: string | Uint8Array, name = 'rows.jsonl', more = {}) =>
  parsePreferenceData(streamOf(data, 7), { name, ...more });
const lines = (...rows: unknown[]) =>
  rows.map((row) => (typeof row === 'string' ? row : JSON.stringify(row))).join('\n');

describe('JSON lines', () => {
  it('reads prompt / chosen / rejected', async () => {
    const data = await parse(lines(good, { ...good, prompt: 'Ω≈ 你好 👩‍🚀' }));
    expect(data.schema).toBe('prompt / chosen / rejected');
    expect(data.format).toBe('JSONL');
    expect(data.unit).toBe('line');
    expect(data.rows).toEqual([
      { form: 'text', ...good, line: 1 },
      { form: 'text', ...good, prompt: 'Ω≈ 你好 👩‍🚀', line: 2 },
    ]);
    expect([data.total, data.usable, data.problems]).toEqual([2, 2, []]);
  });

  it('reads the built-in story set', async () => {
    const bytes = readFileSync(new URL('../../public/data/story-dialogue.jsonl', import.meta.url));
    const seen: number[] = [];
    const data = await parsePreferenceData(streamOf(new Uint8Array(bytes), 4096), {
      name: 'story-dialogue.jsonl',
      onProgress: (n) => seen.push(n),
    });
    expect(data.schema).toBe('request / chosen / rejected');
    expect(data.usable).toBe(113);
    expect(data.rows[0].prompt).toBe('Tell me a story about a duck named Ducky.');
    expect(data.rows[0].form).toBe('request');
    expect(seen.at(-1)).toBe(bytes.length);
  });

  it('takes a byte order mark, CRLF, blank lines and a missing last newline', async () => {
    const text = `\ufeff${JSON.stringify(good)}\r\n\r\n   \r\n${JSON.stringify(good)}`;
    const data = await parse(text);
    expect(data.rows.map((row) => row.line)).toEqual([1, 4]);
  });

  it('names every bad line with its number and reason, and keeps the good ones', async () => {
    const data = await parse(
      lines(
        good,
        '{"prompt": "P", "chosen": ',
        '[1, 2]',
        '"text"',
        { prompt: 'P', chosen: 'yes' },
        { prompt: 'P', chosen: 'yes', rejected: null },
        { prompt: 'P', chosen: 5, rejected: 'no' },
        { prompt: ['x'], chosen: 'yes', rejected: 'no' },
        { prompt: 'P', chosen: ' \n', rejected: 'no' },
        { prompt: 'P', chosen: 'same', rejected: 'same' },
        good,
      ),
    );
    expect(data.rows.map((row) => row.line)).toEqual([1, 11]);
    expect(data.problems.map(({ line, reason }) => [line, reason])).toEqual([
      [2, 'not-json'],
      [3, 'not-an-object'],
      [4, 'not-an-object'],
      [5, 'missing-field'],
      [6, 'missing-field'],
      [7, 'wrong-type'],
      [8, 'wrong-type'],
      [9, 'empty-answer'],
      [10, 'chosen-equals-rejected'],
    ]);
    expect(data.problems[3].message).toBe('The field "rejected" is missing.');
    expect(data.problems[5].message).toBe('The field "chosen" holds a number instead of text or a list of turns.');
    expect(data.problemCounts).toContainEqual({ reason: 'missing-field', count: 2 });
    expect(data.total).toBe(11);
  });

  it('counts all problems and keeps the first messages', async () => {
    const data = await parse(lines(...Array.from({ length: 500 }, () => '{'), good));
    expect(data.problemCounts).toEqual([{ reason: 'not-json', count: 500 }]);
    expect(data.problems).toHaveLength(MAX_PROBLEMS);
    expect(data.usable).toBe(1);
  });

  it('names a line that is not UTF-8 and goes on', async () => {
    const text = new TextEncoder().encode(`${JSON.stringify(good)}\n`);
    const latin = Uint8Array.from([
      ...Buffer.from('{"prompt":"caf'),
      0xe9,
      ...Buffer.from('","chosen":"a","rejected":"b"}\n'),
    ]);
    const data = await parse(Uint8Array.from([...text, ...latin, ...text]));
    expect(data.problems).toMatchObject([{ line: 2, reason: 'not-text' }]);
    expect(data.rows.map((row) => row.line)).toEqual([1, 3]);
  });

  it('names a line of 50 MB without holding it', async () => {
    const head = new TextEncoder().encode(`${JSON.stringify(good)}\n{"prompt": "`);
    const tail = new TextEncoder().encode(`", "chosen": "a", "rejected": "b"}\n${JSON.stringify(good)}\n`);
    const filler = new Uint8Array(1 << 20).fill(0x61);
    let step = 0;
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(step === 0 ? head : step <= 50 ? filler : tail);
        if (step++ > 50) controller.close();
      },
    });
    const data = await parsePreferenceData(stream, { name: 'rows.jsonl' });
    expect(data.problems).toMatchObject([{ line: 2, reason: 'line-too-long' }]);
    expect(data.rows.map((row) => row.line)).toEqual([1, 3]);
  });
});

describe('JSON documents', () => {
  const rows = [good, { ...good, prompt: 'a "quoted" [bracket] \\ {' }, { ...good, chosen: 7 }];

  it.each([
    ['an array', JSON.stringify(rows)],
    ['a pretty array', JSON.stringify(rows, null, 2)],
    [
      'an object with data',
      JSON.stringify({ version: '1 [', about: { rows: [1] }, data: rows, more: [1, 2] }, null, 1),
    ],
    ['an object with rows', JSON.stringify({ rows })],
    ['examples', JSON.stringify({ examples: rows }, null, 4)],
    ['the dataset viewer', JSON.stringify({ rows: rows.map((row, row_idx) => ({ row_idx, row })) }, null, 1)],
  ])('reads %s', async (_, text) => {
    // A one-line object is JSON lines by its looks; its name says otherwise.
    const data = await parse(text, 'rows.json');
    expect(data.rows.map((row) => row.prompt)).toEqual(['P', rows[1].prompt]);
    expect(data.problems).toMatchObject([{ line: 3, reason: 'wrong-type' }]);
    expect(data.unit).toBe('row');
    expect(data.format).toBe('JSON');
  });

  it('reads JSON lines named .json, and an array named .jsonl', async () => {
    expect((await parse(lines(good, good), 'rows.json')).format).toBe('JSONL');
    expect((await parse(JSON.stringify(rows), 'rows.jsonl')).usable).toBe(2);
    expect((await parse(JSON.stringify(rows, null, 2), 'rows.jsonl')).usable).toBe(2);
  });

  it('reads a document that is a single row', async () => {
    expect((await parse(JSON.stringify(good, null, 2), 'one.json')).usable).toBe(1);
    expect((await parse(JSON.stringify(good), 'one.json')).usable).toBe(1);
  });

  it('keeps the rows before the place where a document breaks off', async () => {
    const text = JSON.stringify(rows, null, 2);
    const data = await parse(text.slice(0, text.indexOf('"chosen": 7')), 'rows.json');
    expect(data.usable).toBe(2);
    expect(data.problems).toMatchObject([{ line: 3, reason: 'not-json' }]);
  });
});

describe('CSV and TSV', () => {
  it('reads quoted fields with separators, quotes and line breaks', async () => {
    const text = 'prompt,chosen,rejected,score\r\n"a, ""b""\nc",yes,no,1\n\nplain,"é, 你",no,2\n';
    const data = await parse(text, 'rows.csv');
    expect(data.rows.map(({ prompt, chosen, line }) => [prompt, chosen, line])).toEqual([
      ['a, "b"\nc', 'yes', 2],
      ['plain', 'é, 你', 5],
    ]);
    expect(data.format).toBe('CSV');
  });

  it('reads tabs and semicolons', async () => {
    expect((await parse('prompt\tchosen\trejected\nP\tyes, sir\tno\n', 'rows.tsv')).rows[0].chosen).toBe('yes, sir');
    expect((await parse('prompt;chosen;rejected\nP;yes, sir;no\n', 'rows.csv')).rows[0].chosen).toBe('yes, sir');
    expect((await parse('prompt\tchosen\trejected\nP\tyes\tno\n', 'pasted')).format).toBe('TSV');
  });

  it('names what is wrong with a record', async () => {
    const text = 'prompt,chosen,rejected\nP,yes,no\nP,yes,no,more\nP,yes\nP,,no\nP,"yes';
    const data = await parse(text, 'rows.csv');
    expect(data.problems.map(({ line, reason }) => [line, reason])).toEqual([
      [3, 'wrong-type'],
      [4, 'missing-field'],
      [5, 'empty-answer'],
      [6, 'not-json'],
    ]);
  });
});

describe('whole files', () => {
  const code = (code: string) => expect.objectContaining({ name: 'DataError', code });

  it('unpacks gzip and names a damaged archive', async () => {
    const packed = new Uint8Array(
      await new Response(streamOf(lines(good, good)).pipeThrough(new CompressionStream('gzip') as never)).arrayBuffer(),
    );
    const data = await parse(packed, 'rows.jsonl.gz');
    expect([data.usable, data.compressed, data.format]).toEqual([2, true, 'JSONL']);
    await expect(parse(packed.slice(0, 40), 'rows.jsonl.gz')).rejects.toEqual(code('bad-format'));
  });

  it.each([
    ['nothing', new Uint8Array(0), 'empty-file'],
    ['blank lines', ' \n\r\n\t\n', 'empty-file'],
    ['an empty array', '[]', 'empty-file'],
    ['a header only', 'prompt,chosen,rejected\n', 'empty-file'],
    ['a picture', Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 13, 10]), 'not-text'],
    ['UTF-16', new Uint8Array(Buffer.from(`\ufeff${lines(good)}`, 'utf16le')), 'not-text'],
    ['binary', Uint8Array.from([1, 2, 0, 4, 5]), 'not-text'],
    ['Latin-1 throughout', Uint8Array.from([...Buffer.from('{"prompt":"caf'), 0xe9, 0x22, 0x7d]), 'not-text'],
    ['prose', 'Once upon a time\nthere was a duck.\n', 'no-usable-rows'],
    ['only bad rows', lines({ prompt: 'P', chosen: 'x' }), 'no-usable-rows'],
    ['other fields', lines({ text: 'x', url: 'y' }), 'unknown-schema'],
    ['unpaired rows', lines({ prompt: 'x', completion: 'y', label: true }), 'unpaired'],
  ])('%s: %s', async (_, bytes, expected) => {
    const name = String(bytes).startsWith('prompt,') ? 'rows.csv' : 'rows.jsonl';
    await expect(parse(bytes as Uint8Array, name)).rejects.toEqual(code(expected as string));
  });

  it('stops when asked to', async () => {
    const control = new AbortController();
    control.abort();
    await expect(parse(lines(good), 'rows.jsonl', { signal: control.signal })).rejects.toEqual(code('cancelled'));
  });

  it('stops at a limit, or keeps an even sample', async () => {
    const many = lines(...Array.from({ length: 1000 }, (_, i) => ({ ...good, prompt: `P${i}` })));
    const first = await parse(many, 'rows.jsonl', { limit: 10 });
    expect([first.rows.length, first.limited]).toEqual([10, true]);
    const drawn = await parse(many, 'rows.jsonl', { sample: { count: 100, seed: 3 } });
    expect([drawn.rows.length, drawn.usable, drawn.limited]).toEqual([100, 1000, false]);
    expect(new Set(drawn.rows.map((row) => row.line)).size).toBe(100);
    const late = drawn.rows.filter((row) => row.line > 500).length;
    expect(late).toBeGreaterThan(30);
    expect(late).toBeLessThan(70);
    const again = await parse(many, 'rows.jsonl', { sample: { count: 100, seed: 3 } });
    expect(again.rows).toEqual(drawn.rows);
  });

  it('shows the first rows while the rest is being read', async () => {
    const many = lines(...Array.from({ length: 2000 }, (_, i) => ({ ...good, prompt: `P${i}` })));
    let read = 0;
    let at = 0;
    const data = await parsePreferenceData(streamOf(many, 1000), {
      name: 'rows.jsonl',
      onProgress: (bytes) => {
        read = bytes;
      },
      onPreview: (preview) => {
        at = read;
        expect(preview).toMatchObject({ schema: 'prompt / chosen / rejected', format: 'JSONL', problems: [] });
        expect(preview.rows).toHaveLength(PREVIEW_ROWS);
      },
    });
    expect(at).toBeGreaterThan(0);
    expect(at).toBeLessThan(many.length / 5);
    expect(data.rows).toHaveLength(2000);
  });

  it('keeps nothing when each row is taken, and stops reading when enough were', async () => {
    const taken: string[] = [];
    let cancelled = false;
    let pulls = 0;
    const row = new TextEncoder().encode(`${JSON.stringify(good)}\n`);
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulls += 1;
        controller.enqueue(row);
      },
      cancel() {
        cancelled = true;
      },
    });
    const data = await parsePreferenceData(endless, {
      name: 'rows.jsonl',
      limit: 200,
      onRow: ({ prompt }) => taken.push(prompt),
    });
    expect([taken.length, data.rows.length, data.usable]).toEqual([200, 0, 200]);
    expect(cancelled).toBe(true);
    expect(pulls).toBeLessThan(210);
  });

  it('joins several files', async () => {
    const one = await parse(lines(good, '{'), 'a.jsonl');
    const two = await parse(`request,chosen,rejected\nQ,a,b\nQ,a,a\n`, 'b.csv');
    const both = mergeParsed([one, two]);
    expect(both).toMatchObject({
      name: 'a.jsonl, b.csv',
      schema: 'prompt / chosen / rejected; request / chosen / rejected',
      total: 4,
      usable: 2,
      problemCounts: [
        { reason: 'not-json', count: 1 },
        { reason: 'chosen-equals-rejected', count: 1 },
      ],
    });
    expect(both.rows.map((row) => row.form)).toEqual(['text', 'request']);
    expect(mergeParsed([one])).toBe(one);
  });
});
