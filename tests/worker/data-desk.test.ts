import { describe, expect, it } from 'vitest';
import type { DataMeasure, PairDetail } from '../../src/worker/protocol';
import { fixtureTokenizer } from '../data/support';
import { ALL, fixtureFile, jsonlFile, numbered, openDesk, settings, textOf, WHOLE } from './support';

describe('reading', () => {
  it('takes several files of different formats as one set', async () => {
    const { load } = openDesk();
    const csv = new File(['prompt,chosen,rejected\n"A, b",yes,no\n'], 'b.csv');
    const tsv = new File(['prompt\tchosen\trejected\nC\tyes\tno\n'], 'c.tsv');
    const state = await load([
      jsonlFile('a.jsonl', numbered(3)),
      csv,
      tsv,
      fixtureFile('parquet/stories_snappy.parquet'),
    ]);
    expect(state.train).toMatchObject({ name: 'a.jsonl, b.csv, c.tsv, stories_snappy.parquet', limited: false });
    expect(state.trainPairs).toBe(state.train!.usable);
    expect(state.trainPairs).toBeGreaterThan(5);
  });

  it('takes pasted rows', async () => {
    const { desk } = openDesk();
    const text = JSON.stringify(numbered(2));
    const state = await desk.handlers.loadData({ role: 'train', source: { text }, amount: ALL, split: WHOLE });
    expect(state.train).toMatchObject({ name: 'pasted rows', format: 'JSON', usable: 2 });
  });

  it('stops at a row limit, across files', async () => {
    const { desk, load } = openDesk();
    const files = [
      jsonlFile('a.jsonl', numbered(30)),
      jsonlFile('b.jsonl', numbered(30)),
      jsonlFile('c.jsonl', numbered(5)),
    ];
    const state = await load(files, { amount: { kind: 'first', rows: 40 } });
    expect(state.train).toMatchObject({ usable: 40, kept: 40, limited: true });
    const page = await desk.handlers.pairs({ role: 'train', offset: 29, limit: 2 });
    expect(page.pairs.map((pair) => pair.prompt)).toEqual(['Question 29?\n', 'Question 0?\n']);
  });

  it.each([1, 3])('draws the same sample for the same seed, from %i file(s), evenly', async (count) => {
    const rows = numbered(3000);
    const size = rows.length / count;
    const files = Array.from({ length: count }, (_, i) =>
      jsonlFile(`${i}.jsonl`, rows.slice(i * size, (i + 1) * size)),
    );
    const draw = async (seed: number) => {
      const { desk, load } = openDesk();
      const state = await load(files, { amount: { kind: 'sample', rows: 600, seed } });
      expect(state.train).toMatchObject({ usable: 3000, kept: 600 });
      const { pairs } = await desk.handlers.pairs({ role: 'train', offset: 0, limit: 600 });
      return pairs.map((pair) => Number(/\d+/.exec(pair.prompt)![0]));
    };
    const first = await draw(7);
    expect(await draw(7)).toEqual(first);
    expect(await draw(8)).not.toEqual(first);
    expect(new Set(first).size).toBe(600);
    // 200 of each third are expected; five standard deviations are 52.
    for (const third of [0, 1, 2]) {
      const here = first.filter((n) => Math.floor(n / 1000) === third).length;
      expect(Math.abs(here - 200)).toBeLessThan(52);
    }
  });

  it('shows the first pairs while the rest is still being read, and how far it is', async () => {
    const { events, load } = openDesk();
    await load([jsonlFile('a.jsonl', numbered(40_000))]);
    const preview = events.findIndex(({ event }) => event === 'dataPreview');
    const at = events.flatMap((event) => (event.event === 'dataProgress' ? [event] : []));
    expect(events[preview]).toMatchObject({ preview: { schema: 'prompt / chosen / rejected', role: 'train' } });
    expect(at.at(-1)!.bytes).toBe(at.at(-1)!.totalBytes);
    expect(events.findLastIndex(({ event }) => event === 'dataProgress')).toBeGreaterThan(preview);
  });

  it('can be cancelled, and keeps what was there before', async () => {
    const { desk, load } = openDesk();
    await load([jsonlFile('small.jsonl', numbered(5))]);
    const reading = load([jsonlFile('large.jsonl', numbered(200_000))]);
    setTimeout(() => void desk.handlers.cancelRead({}), 5);
    await expect(reading).rejects.toMatchObject({ code: 'cancelled' });
    expect(desk.data.name).toBe('small.jsonl');
    expect((await desk.handlers.pairs({ role: 'train', offset: 0, limit: 9 })).total).toBe(5);
  });

  it('names the fields of a file it cannot read, and reads it once they are mapped', async () => {
    const { desk, events, load } = openDesk();
    const rows = numbered(4).map(({ prompt, chosen, rejected }) => ({
      ask: { text: prompt },
      up: chosen,
      down: rejected,
    }));
    await expect(load([jsonlFile('odd.jsonl', rows)])).rejects.toMatchObject({ code: 'unknown-schema' });
    expect(events.at(-1)).toEqual({
      event: 'dataFields',
      role: 'train',
      name: 'odd.jsonl',
      fields: ['ask', 'ask.text', 'up', 'down'],
    });
    const columns = { prompt: 'ask.text', chosen: 'up', rejected: 'down' };
    const state = await desk.handlers.mapColumns({ role: 'train', columns, split: WHOLE });
    expect(state.train).toMatchObject({ usable: 4, columns });
    const { pairs } = await desk.handlers.pairs({ role: 'train', offset: 0, limit: 1 });
    expect(pairs[0]).toEqual({ index: 0, prompt: 'Question 0?\n', chosen: 'Yes, 0.', rejected: 'No, 0.' });
  });

  it('reads a file again with other columns, and back as recognised', async () => {
    const { desk, load } = openDesk();
    await load([jsonlFile('a.jsonl', numbered(3))]);
    const columns = { prompt: 'prompt', chosen: 'rejected', rejected: 'chosen' };
    const swapped = await desk.handlers.mapColumns({ role: 'train', columns, split: WHOLE });
    expect(swapped.train!.schema).toBe('prompt / rejected / chosen');
    const chosen = async () => (await desk.handlers.pairs({ role: 'train', offset: 0, limit: 1 })).pairs[0].chosen;
    expect(await chosen()).toBe('No, 0.');
    await desk.handlers.mapColumns({ role: 'train', columns: null, split: WHOLE });
    expect(await chosen()).toBe('Yes, 0.');
  });

  it('refuses unpaired files with the reason', async () => {
    const { load } = openDesk();
    await expect(load([fixtureFile('preference/unpaired_kto.json.gz')])).rejects.toMatchObject({
      code: 'unpaired',
      message: expect.stringContaining('ORPO needs two answers'),
    });
  });
});

describe('the split', () => {
  const rows = numbered(300).map((row, i) => ({ ...row, prompt: `Prompt ${i % 100}\n` }));
  const promptsOf = async (desk: ReturnType<typeof openDesk>['desk'], role: 'train' | 'eval') =>
    new Set((await desk.handlers.pairs({ role, offset: 0, limit: 999 })).pairs.map((pair) => pair.prompt));

  it('by prompt has no prompt on both sides; by row it has, and the check says so', async () => {
    const { desk, load } = openDesk();
    const state = await load([jsonlFile('a.jsonl', rows)], { split: { fraction: 0.1, by: 'prompt', seed: 42 } });
    expect([state.trainPairs, state.evalPairs]).toEqual([270, 30]);
    const train = await promptsOf(desk, 'train');
    expect([...(await promptsOf(desk, 'eval'))].filter((prompt) => train.has(prompt))).toEqual([]);
    expect((await desk.handlers.checkData(settings())).promptsOnBothSides).toBe(0);

    await desk.handlers.splitData({ split: { fraction: 0.1, by: 'row', seed: 42 } });
    const check = await desk.handlers.checkData(settings());
    const all = await promptsOf(desk, 'train');
    const both = [...(await promptsOf(desk, 'eval'))].filter((prompt) => all.has(prompt)).length;
    expect(both).toBeGreaterThan(0);
    expect(check.promptsOnBothSides).toBe(both);
  });

  it('follows its seed', async () => {
    const { desk, load } = openDesk();
    await load([jsonlFile('a.jsonl', rows)], { split: { fraction: 0.1, by: 'row', seed: 1 } });
    const held = async () => (await desk.handlers.pairs({ role: 'eval', offset: 0, limit: 99 })).pairs;
    const first = await held();
    await desk.handlers.splitData({ split: { fraction: 0.1, by: 'row', seed: 2 } });
    expect(await held()).not.toEqual(first);
    await desk.handlers.splitData({ split: { fraction: 0.1, by: 'row', seed: 1 } });
    expect(await held()).toEqual(first);
  });

  it('gives way to a second file', async () => {
    const { desk, load } = openDesk();
    await load([jsonlFile('a.jsonl', rows)], { split: { fraction: 0.1, by: 'row', seed: 1 } });
    const state = await load([jsonlFile('b.jsonl', numbered(7))], { role: 'eval' });
    expect([state.trainPairs, state.evalPairs, state.eval!.name]).toEqual([300, 7, 'b.jsonl']);
    const back = await desk.handlers.clearData({ role: 'eval', split: WHOLE });
    expect([back.trainPairs, back.evalPairs, back.eval]).toEqual([300, 0, null]);
  });
});

describe('the list', () => {
  it('finds text in prompts and answers, whatever its case or script', async () => {
    const { desk, load } = openDesk();
    const rows = [
      ...numbered(2000),
      { prompt: 'Wo ist die KATZE?', chosen: 'مرحبا بالعالم', rejected: '你好，世界 🐈' },
    ];
    await load([jsonlFile('a.jsonl', rows)]);
    const find = async (query: string) =>
      (await desk.handlers.pairs({ role: 'train', offset: 0, limit: 5, query })).pairs.map((pair) => pair.index);
    expect(await find('katze')).toEqual([2000]);
    expect(await find('بالعالم')).toEqual([2000]);
    expect(await find('世界 🐈')).toEqual([2000]);
    expect(await find('Question 1999?')).toEqual([1999]);
    expect(await find('nowhere')).toEqual([]);
  });

  it('gives beginnings, or the place of what was searched for, and cuts no character in two', async () => {
    const { desk, load } = openDesk();
    const long = `${'😀'.repeat(500)} needle ${'x'.repeat(500)}`;
    await load([jsonlFile('a.jsonl', [{ prompt: 'p', chosen: long, rejected: 'no' }])]);
    const plain = await desk.handlers.pairs({ role: 'train', offset: 0, limit: 1 });
    expect(plain.pairs[0].chosen).toBe(`${'😀'.repeat(120)} …`);
    const found = await desk.handlers.pairs({ role: 'train', offset: 0, limit: 1, query: 'NEEDLE' });
    expect(found.pairs[0].chosen).toContain('needle');
    // Half a character cannot be encoded.
    expect(() => encodeURIComponent(found.pairs[0].chosen)).not.toThrow();
  });
});

describe('checks', () => {
  const good = numbered(6);
  const rows = [
    ...good,
    good[1],
    good[2],
    { ...good[3], chosen: good[3].rejected, rejected: good[3].chosen },
    { prompt: 'A question that is long enough?', chosen: 'A question that is long enough? Yes.', rejected: 'No.' },
    { prompt: '<|im_start|>user\nHi<|im_end|>\n', chosen: 'Yes', rejected: 'No' },
    { prompt: 'Blank', chosen: 'same', rejected: 'same ' },
  ];

  it('count what is wrong and list exactly those rows', async () => {
    const { desk, load } = openDesk(await fixtureTokenizer('pocket-15m'));
    await load([jsonlFile('a.jsonl', rows)]);
    const check = await desk.handlers.checkData(settings({}, { format: 'chat-template' }));
    const counts = Object.fromEntries([...check.warnings, ...check.duplicates].map(({ kind, count }) => [kind, count]));
    expect(counts).toMatchObject({
      repeated: 2,
      reversed: 1,
      'same-answers': 1,
      'prompt-in-answer': 1,
      'template-twice': 1,
    });
    const listed = async (filter: 'repeated' | 'prompt-in-answer') =>
      (await desk.handlers.pairs({ role: 'train', offset: 0, limit: 9, filter })).pairs.map((pair) => pair.index);
    expect(await listed('repeated')).toEqual([6, 7]);
    expect(await listed('prompt-in-answer')).toEqual([9]);
  });

  it('take duplicates out, and bring them back', async () => {
    const { desk, load } = openDesk();
    await load([jsonlFile('a.jsonl', rows)]);
    await desk.handlers.checkData(settings());
    const less = await desk.handlers.removeRows({ kind: 'repeated', split: WHOLE });
    expect(less.trainPairs).toBe(rows.length - 2);
    expect(less.train!.removals).toEqual([{ kind: 'repeated', count: 2 }]);
    const again = await desk.handlers.checkData(settings());
    expect(again.duplicates.map(({ kind }) => kind)).toEqual(['reversed', 'same-answers']);
    await desk.handlers.removeRows({ kind: 'reversed', split: WHOLE });
    const back = await desk.handlers.undoRemoval({ split: WHOLE });
    expect([back.trainPairs, back.train!.removals.length]).toEqual([rows.length - 2, 1]);
    expect((await desk.handlers.undoRemoval({ split: WHOLE })).trainPairs).toBe(rows.length);
  });

  it('say when no EOS is set, when BOS or EOS come twice, and when marks are no tokens', async () => {
    const tokenizer = await fixtureTokenizer('stories-260k');
    const { desk, load } = openDesk(tokenizer);
    const { bosToken: bos, eosToken: eos } = tokenizer;
    await load([jsonlFile('a.jsonl', [...good, { prompt: `${bos}${bos}Hi`, chosen: `Yes${eos} `, rejected: 'No' }])]);
    const kinds = async (given: ReturnType<typeof settings>) =>
      (await desk.handlers.checkData(given)).warnings.map(({ kind, count }) => `${kind} ${count}`);
    expect(await kinds(settings())).toEqual(
      expect.arrayContaining(['double-bos 1', 'double-eos 1', 'special-tokens-in-text 1']),
    );
    expect(await kinds(settings({ eos_token_id: null }))).toContain('no-eos 1');
    expect(await kinds(settings({}, { format: 'chatml' }))).toContain('marks-not-tokens 1');
  });
});

describe('tokens', () => {
  const story = (words: number) => 'word '.repeat(words).trim();
  const rows = [
    { prompt: 'Short?\n', chosen: story(10), rejected: story(11) },
    { prompt: 'Long?\n', chosen: story(200), rejected: story(20) },
    { prompt: `${story(300)}\n`, chosen: 'Yes.', rejected: 'No.' },
  ];

  it('measures what fits, is cut and is left out, and lists those pairs', async () => {
    const { desk, load } = openDesk(await fixtureTokenizer('stories-260k'));
    await load([jsonlFile('a.jsonl', rows)]);
    const sane = await desk.handlers.measureData(settings({ max_length: 128, max_prompt_length: 64 }));
    expect(sane.train.counts).toEqual({ fits: 1, cut: 2, dropped: 0 });
    const cut = await desk.handlers.pairs({ role: 'train', offset: 0, limit: 9, filter: 'cut' });
    expect(cut.pairs.map((pair) => pair.index)).toEqual([1, 2]);
    const broken: DataMeasure = await desk.handlers.measureData(
      settings({ max_length: 128, max_prompt_length: 64, truncation: 'trl1' }),
    );
    expect(broken.train.counts.dropped).toBeGreaterThan(0);
    expect(broken.dropped[0]).toMatchObject({ reason: 'no-answer-tokens', count: broken.train.counts.dropped });
  });

  it('shows one pair in the prompt format, token by token, with the system turn and the pinned date', async () => {
    const { desk, load } = openDesk(await fixtureTokenizer('pocket-15m'));
    await load([jsonlFile('a.jsonl', rows)]);
    const look = (prompt: Parameters<typeof settings>[1]): Promise<PairDetail> =>
      desk.handlers.pair({ role: 'train', index: 0, settings: settings({}, prompt) });
    const own = await look({ format: 'chat-template', system: 'Be brief.' });
    expect(own.rendered!.prompt).toContain('Be brief.');
    expect(own.tokens!.chosen.tokens.map((token) => token.role)).toContain('odds');
    expect(own.tokens!.chosen.endsWithEos).toBe(true);
    const dated = await look({
      format: 'custom',
      template: '{{ date_string }}{% for m in messages %}|{{ m.content }}{% endfor %}',
      date: '2031-02-03',
    });
    expect(dated.rendered!.prompt).toContain('03 Feb 2031');
    const broken = await look({ format: 'custom', template: '{% if %}' });
    expect([broken.rendered, broken.tokens]).toEqual([null, null]);
    expect(broken.problem).not.toBeNull();
    const alpaca = await look({ format: 'alpaca' });
    expect(alpaca.rendered!.prompt).toContain('### Instruction:\nShort?');
  });

  it('are made once for the plan and the measurement, and can be cancelled', async () => {
    const tokenizer = await fixtureTokenizer('stories-260k');
    const { desk, load } = openDesk(tokenizer);
    await load([jsonlFile('a.jsonl', numbered(3000))]);
    const { hparams, prompt } = settings();
    const first = desk.data.sides(tokenizer, 'fixture', hparams, prompt);
    expect(desk.data.sides(tokenizer, 'fixture', hparams, prompt)).toBe(first);
    setTimeout(() => void desk.handlers.cancelTokens({}), 40);
    await expect(desk.handlers.measureData({ hparams, prompt })).rejects.toMatchObject({ code: 'cancelled' });
    const other = await desk.handlers.measureData({ hparams, prompt });
    expect(other.train.counts.fits).toBe(3000);
  });

  it('come out of their packed form as they went in', async () => {
    const tokenizer = await fixtureTokenizer('pocket-15m');
    const { desk, load } = openDesk(tokenizer);
    await load([jsonlFile('a.jsonl', rows)]);
    const { hparams, prompt } = settings({ max_length: 64, max_prompt_length: 32 });
    const { train } = await desk.data.tokens(tokenizer, 'fixture', hparams, prompt);
    for (const [i, source] of train.sources.entries()) {
      const { tokens } = await desk.handlers.pair({ role: 'train', index: source, settings: { hparams, prompt } });
      const kept = tokens!.chosen.tokens.filter((token) => token.role !== 'cut');
      expect(train.pairs[i].chosen_input_ids).toEqual(kept.map((token) => token.id));
      expect(train.pairs[i].chosen_labels.filter((label) => label !== -100)).toEqual(
        kept.filter((token) => token.odds).map((token) => token.id),
      );
    }
  });
});

describe('prepared rows', () => {
  it('are the text that is tokenised, as JSON lines, without rows that could not be trained', async () => {
    const { desk, load } = openDesk(await fixtureTokenizer('pocket-15m'));
    const rows = [...numbered(3), { prompt: 'p', chosen: 'word '.repeat(200), rejected: 'No.' }];
    await load([jsonlFile('pairs of mine.jsonl', rows)]);
    const given = settings({ max_length: 64, truncation: 'trl1' }, { format: 'chat-template' });
    const { download } = await desk.handlers.prepared({ role: 'train', settings: given });
    expect(download.name).toBe('pairs-of-mine.train.jsonl');
    const lines = (await textOf(download.stream))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(3);
    const { rendered } = await desk.handlers.pair({ role: 'train', index: 1, settings: given });
    expect(lines[1]).toEqual(rendered);
  });
});
