import { describe, expect, it } from 'vitest';
import { RowError, resolveTokenIds, tokenizeRow } from '../../src/data/tokenize';
import type { PreferenceRow, TokenizedPair } from '../../src/data/types';
import { DEFAULT_HPARAMS, type HParams } from '../../src/train/hparams';
import { fixtureTokenizer, readJsonFixture, readJsonl } from './support';

describe.each(['stories-260k', 'pocket-15m'] as const)('tokenizeRow equals the TRL goldens of %s', (model) => {
  it.each([
    ['train.jsonl.gz', 'tokens.jsonl.gz'],
    ['eval_rows.jsonl.gz', 'eval_tokens.jsonl.gz'],
  ])('%s', async (rowsFile, tokensFile) => {
    const tokenizer = await fixtureTokenizer(model);
    const hparams = readJsonFixture<HParams>(`${model}/hparams.json`);
    const { bos, eos, pad } = resolveTokenIds(hparams, tokenizer);
    expect({ bos, eos, pad }).toEqual(
      model === 'pocket-15m' ? { bos: 8176, eos: 8185, pad: 8180 } : { bos: 1, eos: 2, pad: 2 },
    );
    const rows = readJsonl<PreferenceRow>(`${model}/${rowsFile}`);
    const golden = readJsonl<TokenizedPair>(`${model}/${tokensFile}`);
    expect(rows.length).toBe(golden.length);
    const ours = rows.map((row) => tokenizeRow(tokenizer, row, hparams, bos, eos).pair);
    ours.forEach((pair, i) => {
      expect(pair, `row ${i}`).toEqual(golden[i]);
    });
  });
});

/** Letters are ids; "ab" merges into one token, as a byte-pair vocabulary would. */
const letters = {
  encode: (text: string) => [...text.replaceAll('ab', 'Z')].map((letter) => letter.charCodeAt(0)),
};
const BOS = 1;
const EOS = 2;
const settings = { ...DEFAULT_HPARAMS, max_length: 10, max_prompt_length: 4 };

function lengths(row: PreferenceRow, change: Partial<HParams>) {
  const { pair, truncated } = tokenizeRow(letters, row, { ...settings, ...change }, BOS, EOS);
  const side = (ids: number[], labels: number[]) => {
    const prompt = labels.filter((label) => label === -100).length;
    expect(labels.slice(prompt)).toEqual(ids.slice(prompt));
    return [prompt, ids.length - prompt];
  };
  return {
    chosen: side(pair.chosen_input_ids, pair.chosen_labels),
    rejected: side(pair.rejected_input_ids, pair.rejected_labels),
    truncated,
    pair,
  };
}

const row = (prompt: number, chosen: number, rejected: number): PreferenceRow => ({
  prompt: 'p'.repeat(prompt),
  chosen: 'c'.repeat(chosen),
  rejected: 'r'.repeat(rejected),
});

describe('truncation modes', () => {
  it('leaves a row that fits alone in every mode', () => {
    for (const truncation of ['classic', 'trl1', 'independent', 'none', 'sane'] as const) {
      const { chosen, rejected, truncated } = lengths(row(3, 4, 5), { truncation });
      expect({ truncation, chosen, rejected, truncated }).toEqual({
        truncation,
        chosen: [4, 5],
        rejected: [4, 6],
        truncated: false,
      });
    }
  });

  it('classic: cuts the prompt to max_prompt_length at either end, and then both answers', () => {
    const end = lengths(row(8, 3, 4), { truncation: 'classic' });
    expect(end.chosen).toEqual([4, 4]);
    expect(end.pair.chosen_input_ids[0]).not.toBe(BOS);
    const start = lengths(row(8, 3, 4), { truncation: 'classic', truncation_mode: 'keep_start' });
    expect(start.pair.chosen_input_ids[0]).toBe(BOS);
    const both = lengths(row(2, 9, 1), { truncation: 'classic' });
    expect([both.chosen, both.rejected]).toEqual([
      [3, 6],
      [3, 2],
    ]);
  });

  it('trl1: the lengths measured from TRL 0.28 on (spec 2.5)', () => {
    const long = (p: number, c: number, r: number, max_length: number) => {
      // Lengths given are those with BOS and EOS.
      const got = lengths(row(p - 1, c - 1, r - 1), { truncation: 'trl1', max_length, max_prompt_length: 512 });
      return [got.chosen[1], got.rejected[1]];
    };
    expect(long(100, 1000, 300, 1024)).toEqual([24, 24]);
    expect(long(900, 200, 150, 1024)).toEqual([200, 150]);
    expect(() => long(20, 5000, 600, 2048)).toThrow(RowError);
  });

  it('independent: each answer gets what the prompt leaves', () => {
    const got = lengths(row(3, 20, 2), { truncation: 'independent' });
    expect([got.chosen, got.rejected]).toEqual([
      [4, 6],
      [4, 3],
    ]);
  });

  it('sane: the prompt gives way by as little as needed and keeps BOS and its end', () => {
    const some: PreferenceRow = { prompt: 'stuvwxyz', chosen: 'cc', rejected: 'rrr' };
    const got = lengths(some, { truncation: 'sane' });
    expect(got.chosen).toEqual([6, 3]);
    expect(got.pair.chosen_input_ids).toEqual([BOS, ...letters.encode('vwxyz'), ...letters.encode('cc'), EOS]);
    expect(got.pair.rejected_input_ids).toEqual([BOS, ...letters.encode('vwxyz'), ...letters.encode('rrr'), EOS]);
  });

  it('sane: a cut answer still ends in EOS', () => {
    const got = lengths(row(2, 9, 1), { truncation: 'sane' });
    expect(got.chosen).toEqual([3, 7]);
    expect(got.pair.chosen_input_ids.at(-1)).toBe(EOS);
    expect(got.rejected).toEqual([3, 2]);
  });

  it('sane: refuses a row of which no answer token is left', () => {
    expect(() => lengths(row(20, 3, 3), { truncation: 'sane', max_prompt_length: 9 })).toThrow(/chosen answer is left/);
    expect(() => lengths(row(20, 3, 3), { truncation: 'sane', max_prompt_length: 50 })).toThrow(RowError);
  });
});

describe('borders', () => {
  it('gives one merged token back to the answer, as TRL does', () => {
    const { pair } = tokenizeRow(letters, { prompt: 'xa', chosen: 'b', rejected: 'c' }, settings, BOS, EOS);
    expect(pair.chosen_input_ids).toEqual([BOS, ...letters.encode('x'), 'Z'.charCodeAt(0), EOS]);
    expect(pair.chosen_labels).toEqual([-100, -100, 'Z'.charCodeAt(0), EOS]);
    expect(pair.rejected_labels).toEqual([-100, -100, -100, 'c'.charCodeAt(0), EOS]);
  });

  it('never doubles BOS or EOS', () => {
    const marks = { encode: (text: string) => [...text].map((c) => (c === '^' ? BOS : c === '$' ? EOS : 100)) };
    const { pair } = tokenizeRow(marks, { prompt: '^p', chosen: 'c$', rejected: 'r' }, settings, BOS, EOS);
    expect(pair.chosen_input_ids).toEqual([BOS, 100, 100, EOS]);
    expect(pair.rejected_input_ids).toEqual([BOS, 100, 100, EOS]);
  });

  it('adds neither when they are switched off', () => {
    const ids = resolveTokenIds(
      { bos_token_id: null, eos_token_id: null, pad_token_id: 'tokenizer' },
      { bosTokenId: 1, eosTokenId: 2, padTokenId: null },
    );
    expect(ids).toEqual({ bos: null, eos: null, pad: 0 });
    const { pair } = tokenizeRow(letters, row(1, 1, 1), settings, ids.bos, ids.eos);
    expect(pair.chosen_input_ids).toEqual(letters.encode('pc'));
  });

  it('refuses prompts that differ by more than one token', () => {
    const odd = { encode: (text: string) => (text.endsWith('r') ? [9, 9, 9, 9] : [...text].map(() => 5)) };
    const bad = { prompt: 'ppp', chosen: 'c', rejected: 'r' };
    expect(() => tokenizeRow(odd, bad, settings, BOS, EOS)).toThrow(
      expect.objectContaining({ name: 'RowError', reason: 'prompt-mismatch' }),
    );
  });
});
