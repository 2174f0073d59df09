/** What must hold for any row in any truncation mode. */
import { beforeAll, describe, expect, it } from 'vitest';
import { MersenneTwister } from '../../src/data/random';
import { viewRow } from '../../src/data/token-view';
import { type Encoder, RowError, tokenizeRow } from '../../src/data/tokenize';
import type { Tokenizer } from '../../src/data/tokenizer';
import type { PreferenceRow } from '../../src/data/types';
import { DEFAULT_HPARAMS, type HParams, TRUNCATIONS } from '../../src/train/hparams';
import { fixtureTokenizer } from './support';

const random = new MersenneTwister(20240726);
const below = (n: number) => random.nextU32() % n;
const WORDS = [
  'duck',
  'Once upon',
  '你好',
  'é',
  '👩‍🚀',
  '\n',
  ' ',
  '  ',
  '"',
  'مرحبا',
  '1234',
  '<|eot_id|>',
  '</s>',
  '.',
];
const text = (most: number) => Array.from({ length: below(most + 1) }, () => WORDS[below(WORDS.length)]).join(' ');
const row = (): PreferenceRow => {
  const most = [4, 20, 80][below(3)];
  return { prompt: text(most), chosen: `a${text(most)}`, rejected: `b${text(most)}` };
};

interface Case {
  row: PreferenceRow;
  hparams: HParams;
  bos: number | null;
  eos: number | null;
}

function cases(tokenizer: Tokenizer, count: number): Case[] {
  return Array.from({ length: count }, () => {
    const max_length = 2 + below(60);
    return {
      row: row(),
      hparams: {
        ...DEFAULT_HPARAMS,
        max_length,
        max_prompt_length: 1 + below(max_length + 10),
        truncation_mode: below(2) === 0 ? 'keep_end' : 'keep_start',
      },
      bos: below(4) === 0 ? null : tokenizer.bosTokenId,
      eos: below(4) === 0 ? null : tokenizer.eosTokenId,
    };
  });
}

/** The pair, or null for a row that is refused by name. */
function attempt(tokenizer: Encoder, { row, hparams, bos, eos }: Case, truncation: HParams['truncation']) {
  try {
    return tokenizeRow(tokenizer, row, { ...hparams, truncation }, bos, eos);
  } catch (error) {
    if (error instanceof RowError) return null;
    throw error;
  }
}

describe.each(['stories-260k', 'pocket-15m'] as const)('random rows with the tokenizer of %s', (model) => {
  let tokenizer: Tokenizer;
  let all: Case[];
  beforeAll(async () => {
    tokenizer = await fixtureTokenizer(model);
    all = cases(tokenizer, 250);
  });

  it('sane: never over max_length, never without EOS, never an empty answer', () => {
    let usable = 0;
    let cut = 0;
    for (const one of all) {
      const result = attempt(tokenizer, one, 'sane');
      if (!result) continue;
      usable += 1;
      if (result.truncated) cut += 1;
      const { pair } = result;
      for (const side of ['chosen', 'rejected'] as const) {
        const ids = pair[`${side}_input_ids`];
        const answer = pair[`${side}_labels`].filter((label) => label !== -100);
        expect(ids.length).toBeLessThanOrEqual(one.hparams.max_length);
        if (one.eos !== null) expect(ids.at(-1)).toBe(one.eos);
        // Something besides the end mark.
        expect(answer.length).toBeGreaterThanOrEqual(one.eos === null ? 1 : 2);
        if (one.bos !== null) expect(ids[0]).toBe(one.bos);
      }
    }
    expect(usable).toBeGreaterThan(all.length / 3);
    expect(cut).toBeGreaterThan(20);
  });

  it('sane: leaves alone what fits', () => {
    for (const one of all) {
      const whole = attempt(tokenizer, one, 'none');
      const sane = attempt(tokenizer, one, 'sane');
      if (!whole) continue;
      const longest = Math.max(whole.pair.chosen_input_ids.length, whole.pair.rejected_input_ids.length);
      if (longest <= one.hparams.max_length && sane) expect(sane.pair).toEqual(whole.pair);
      if (longest <= one.hparams.max_length) expect(sane?.truncated).toBe(false);
    }
  });

  it.each(TRUNCATIONS)('%s: a usable row trains answer tokens, and labels follow the ids', (truncation) => {
    for (const one of all) {
      const result = attempt(tokenizer, one, truncation);
      if (!result) continue;
      for (const side of ['chosen', 'rejected'] as const) {
        const ids = result.pair[`${side}_input_ids`];
        const labels = result.pair[`${side}_labels`];
        expect(labels.length).toBe(ids.length);
        expect(labels.slice(1).some((label) => label !== -100)).toBe(true);
        const start = labels.findIndex((label) => label !== -100);
        expect(labels.slice(start)).toEqual(ids.slice(start));
      }
    }
  });

  it.each(TRUNCATIONS)(
    '%s: the view shows the very tokens that are trained, and says when EOS is lost',
    (truncation) => {
      for (const one of all.slice(0, 100)) {
        const result = attempt(tokenizer, one, truncation);
        const hparams = { ...one.hparams, truncation };
        let view: ReturnType<typeof viewRow>;
        try {
          view = viewRow(tokenizer, one.row, hparams, one);
        } catch (error) {
          expect(error).toBeInstanceOf(RowError);
          expect(result).toBeNull();
          continue;
        }
        expect(view.problem === null).toBe(result !== null);
        if (!result) continue;
        expect(view.truncated).toBe(result.truncated);
        for (const side of ['chosen', 'rejected'] as const) {
          const kept = view[side].tokens.filter((token) => token.role !== 'cut');
          expect(kept.map((token) => token.id)).toEqual(result.pair[`${side}_input_ids`]);
          const odds = result.pair[`${side}_labels`].filter((label, i) => i > 0 && label !== -100).length;
          expect(view[side].oddsTokens).toBe(odds);
          const ends = one.eos === null ? null : result.pair[`${side}_input_ids`].at(-1) === one.eos;
          expect(view[side].endsWithEos).toBe(ends);
        }
      }
    },
  );
});

it('encoding a prompt once gives the same rows as encoding it with each answer', async () => {
  const tokenizer = await fixtureTokenizer('pocket-15m');
  const mark = '<|start_header_id|>assistant<|end_header_id|>';
  const endings = ['', '\n\n', ' ', '\n', mark, `${mark}\n\n`, '<|eot', '<|eot_id|>'];
  const starts = ['', '_id|>', '\n', ' x', 'x', '\n\nx', '<|eot_id|>'];
  const pick = (list: string[]) => list[below(list.length)];
  let split = 0;
  let usable = 0;
  for (let i = 0; i < 400; i++) {
    const one = row();
    one.prompt += pick(endings);
    one.chosen = pick(starts) + one.chosen;
    if (tokenizer.independentPrefix(one.prompt) > 0) split += 1;
    const all = { row: one, hparams: DEFAULT_HPARAMS, bos: 8176, eos: 8185 };
    const once = attempt(tokenizer, all, 'none');
    expect(once).toEqual(attempt({ encode: tokenizer.encode }, all, 'none'));
    if (once) usable += 1;
  }
  expect(Math.min(split, usable)).toBeGreaterThan(100);
  // SentencePiece reads the start of a piece differently: nothing is promised.
  expect((await fixtureTokenizer('stories-260k')).independentPrefix('</s> x')).toBe(0);
});
