import { beforeAll, describe, expect, it } from 'vitest';
import { lengthHistogram } from '../../src/data/lengths';
import { tokenTexts, viewRow } from '../../src/data/token-view';
import { tokenizeSet } from '../../src/data/tokenize-set';
import type { Tokenizer } from '../../src/data/tokenizer';
import type { PreferenceRow } from '../../src/data/types';
import { DEFAULT_HPARAMS } from '../../src/train/hparams';
import { fixtureTokenizer, readJsonl } from './support';

describe('tokens as people read them', () => {
  const samples = ['Hello, world', ' two  spaces\n', '你好，世界', 'مرحبا', '👩‍🚀🇩🇪!', '<|eot_id|>x', 'naïve'];

  it.each(['stories-260k', 'pocket-15m'] as const)(
    '%s: the texts make up the text, characters stay whole',
    async (model) => {
      const tokenizer = await fixtureTokenizer(model);
      for (const sample of samples) {
        const ids = tokenizer.encode(sample);
        const texts = tokenTexts(tokenizer, ids);
        expect(texts.length).toBe(ids.length);
        // SentencePiece puts a space in front of every text.
        expect(texts.join('').trimStart()).toBe(sample.trimStart());
        expect(texts.join('')).not.toContain('\ufffd');
      }
    },
  );

  it('leaves half a character in pieces', async () => {
    const tokenizer = await fixtureTokenizer('pocket-15m');
    const ids = tokenizer.encode('🇩🇪').slice(0, -1);
    expect(tokenTexts(tokenizer, ids)).toHaveLength(ids.length);
  });
});

describe('viewRow', () => {
  let tokenizer: Tokenizer;
  const settings = { ...DEFAULT_HPARAMS, max_length: 400, max_prompt_length: 128 };
  const ids = { bos: 8176, eos: 8185 };
  beforeAll(async () => {
    tokenizer = await fixtureTokenizer('pocket-15m');
  });
  const row: PreferenceRow = {
    prompt: '<|begin_of_text|>The end.<|eot_id|>',
    chosen: 'Yes, gladly.<|eot_id|>',
    rejected: 'Yes. No.<|eot_id|>',
  };

  it('tells what each token is for', () => {
    const view = viewRow(tokenizer, row, settings, ids);
    const roles = (side: typeof view.chosen) => side.tokens.map(({ text, role }) => [text, role]);
    expect(roles(view.chosen).slice(0, 2)).toEqual([
      ['<|begin_of_text|>', 'special'],
      ['The', 'nll'],
    ]);
    const prompt = tokenizer.encode(row.prompt).length;
    expect(view.chosen.tokens.slice(prompt, -1).every((token) => token.role === 'odds' && token.nll)).toBe(true);
    // BOS is never a target; EOS is one.
    expect(view.chosen.tokens[0]).toMatchObject({ nll: false, odds: false, shared: true });
    expect(view.chosen.tokens.at(-1)).toMatchObject({ role: 'special', nll: true, odds: true });
    expect(view.chosen.nllTokens).toBe(view.chosen.total - 1);
    // The rejected prompt is computed with the chosen one and not trained.
    expect(view.rejected.tokens[1].role).toBe('shared');
    expect(view.rejected.nllTokens).toBe(0);
    // "Yes" begins both answers and is shared as well.
    expect(view.sharedTokens).toBe(prompt + 1);
    expect(view.rejected.tokens[prompt]).toMatchObject({ role: 'odds', shared: true });
    expect([view.chosen.bosAdded, view.chosen.eosAdded, view.chosen.endsWithEos]).toEqual([false, false, true]);
    expect(view.problem).toBeNull();
  });

  it('shows what is added, and what response-only training leaves out', () => {
    const bare = { prompt: 'Say yes.\n', chosen: 'Yes.', rejected: 'No.' };
    const view = viewRow(tokenizer, bare, { ...settings, nll_on_prompt: false }, ids);
    expect([view.chosen.bosAdded, view.chosen.eosAdded]).toEqual([true, true]);
    expect(view.chosen.tokens[1].role).toBe('shared');
    expect(view.chosen.nllTokens).toBe(view.chosen.oddsTokens);
  });

  it('shows what is cut and why a row is dropped', () => {
    const long = { prompt: 'word '.repeat(50), chosen: 'yes '.repeat(50), rejected: 'no' };
    const view = viewRow(
      tokenizer,
      long,
      { ...settings, truncation: 'sane', max_length: 40, max_prompt_length: 20 },
      ids,
    );
    expect(view.truncated).toBe(true);
    expect(view.chosen.kept).toBe(40);
    expect(view.chosen.tokens.filter((token) => token.role === 'cut').length).toBe(view.chosen.total - 40);
    expect(view.chosen.tokens[0].role).toBe('special');
    expect(view.chosen.tokens[1].role).toBe('cut');
    expect(view.chosen.endsWithEos).toBe(true);
    const classic = viewRow(
      tokenizer,
      long,
      { ...settings, truncation: 'classic', max_length: 40, max_prompt_length: 20 },
      ids,
    );
    expect(classic.chosen.endsWithEos).toBe(false);
    const broken = viewRow(tokenizer, long, { ...settings, truncation: 'trl1', max_length: 52 }, ids);
    expect(broken.problem).toMatchObject({ reason: 'no-answer-tokens' });
  });
});

describe('tokenizeSet and lengthHistogram', () => {
  it('tokenises a set, counts what is cut or dropped, and can be cancelled', async () => {
    const tokenizer = await fixtureTokenizer('stories-260k');
    const rows = readJsonl<PreferenceRow>('stories-260k/train.jsonl.gz');
    const settings = { ...DEFAULT_HPARAMS, max_length: 300, max_prompt_length: 64, truncation: 'classic' as const };
    const seen: number[] = [];
    const set = await tokenizeSet(
      tokenizer,
      rows,
      settings,
      { bos: 1, eos: 2 },
      { onProgress: (done) => seen.push(done) },
    );
    expect(set.pairs.length).toBe(rows.length);
    expect(seen.at(-1)).toBe(rows.length);
    expect(set.lengths.filter((length) => length.fate === 'cut').length).toBe(set.truncated);
    expect(set.truncated).toBeGreaterThan(0);
    const histogram = lengthHistogram(set.lengths, settings.max_length);
    const sum = (key: 'fits' | 'cut' | 'dropped') => histogram.bins.reduce((total, bin) => total + bin[key], 0);
    expect(histogram.counts).toEqual({ fits: sum('fits'), cut: sum('cut'), dropped: sum('dropped') });
    expect(sum('fits') + sum('cut')).toBe(rows.length);
    for (const { tokens } of set.lengths) {
      expect(histogram.bins.some((bin) => tokens >= bin.from && tokens < bin.to)).toBe(true);
    }
    expect(histogram.bins.length).toBeLessThanOrEqual(41);
    expect(histogram.longest).toBeGreaterThan(300);

    const control = new AbortController();
    const many = Array.from({ length: 50 }, () => rows).flat();
    const running = tokenizeSet(
      tokenizer,
      many,
      settings,
      { bos: 1, eos: 2 },
      {
        signal: control.signal,
        onProgress: () => control.abort(),
      },
    );
    await expect(running).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('names rows that are dropped, with their lines', async () => {
    const tokenizer = await fixtureTokenizer('stories-260k');
    const rows = [
      { prompt: 'a ', chosen: 'b', rejected: 'c', line: 4 },
      { prompt: 'long '.repeat(100), chosen: 'b', rejected: 'c', line: 9 },
    ];
    const settings = { ...DEFAULT_HPARAMS, max_length: 20, max_prompt_length: 100, truncation: 'sane' as const };
    const set = await tokenizeSet(tokenizer, rows, settings, { bos: 1, eos: 2 });
    expect(set.sources).toEqual([0]);
    expect(set.problems).toMatchObject([{ line: 9, reason: 'no-answer-tokens' }]);
    expect(set.lengths.map((length) => length.fate)).toEqual(['fits', 'dropped']);
  });

  it('draws an empty set as nothing', () => {
    expect(lengthHistogram([], 100)).toMatchObject({ bins: [], longest: 0, median: 0 });
  });
});
