/** Whole tasks over a tiny model: both sides, pairs, produced answers, perplexity, pause and cancel, results as files. */
import { describe, expect, test } from 'vitest';
import type { Tokenizer } from '../../src/data/tokenizer';
import { isDecided, trimAnswer } from '../../src/eval/answer';
import { EvalControl } from '../../src/eval/control';
import { cutLeft, ItemEncoder } from '../../src/eval/encode';
import { evaluateTask } from '../../src/eval/evaluate';
import { type EvalTask, metricsOf } from '../../src/eval/items';
import { itemMetrics } from '../../src/eval/metrics';
import { textPerplexity, windowsOf } from '../../src/eval/perplexity';
import { pairTask } from '../../src/eval/read/pairs';
import { itemsCsv, resultsJson, tableCsv } from '../../src/eval/results';
import { planScores } from '../../src/eval/score';
import type { AdapterSource } from '../../src/inference/session';
import { loraLayout } from '../../src/model/lora';
import { TARGET_MODULES } from '../../src/train/hparams';
import { adapterMap, openModel } from '../model/support';
import { sequenceLogits } from '../reference/model';
import { randomAdapter, randomModel, TINY_SHAPE } from '../reference/random-model';
import { createRng } from '../reference/rng';

const SHAPE = { ...TINY_SHAPE, intermediate: 20 };
const rng = createRng(71);
const reference = randomModel(rng, SHAPE, true);
const adapterValues = randomAdapter(rng, reference, { rank: 3, scale: 2 });
const open = await openModel(reference);
const settings = { lora_r: 3, lora_alpha: 6, use_rslora: false, target_modules: TARGET_MODULES };
const adapter: AdapterSource = {
  layout: loraLayout(open.config, settings, 2 ** 27),
  tensors: adapterMap(adapterValues),
};

/** A token a letter: a is 1. */
const tokenizer = {
  encode: (text: string) => [...text].map((c) => (c === ' ' ? 18 : (c.charCodeAt(0) - 96 + 17) % 17)),
  decode: (ids: readonly number[]) => ids.map((id) => (id === 18 ? ' ' : String.fromCharCode(96 + id))).join(''),
  bosTokenId: 17,
  eosTokenId: null,
} as unknown as Tokenizer;

const items = Array.from({ length: 9 }, (_, i) => ({
  kind: 'choice' as const,
  line: i + 1,
  title: `question ${i}`,
  gold: i % 3,
  choices: ['ab', 'cde', 'f', 'abg'].map((word) => ({
    context: 'hij klm'.slice(0, 2 + (i % 5)),
    continuation: ` ${word}`,
  })),
}));
const task: EvalTask = {
  name: 'letters',
  format: 'own',
  items,
  description: '',
  metrics: metricsOf(items),
  problems: [],
};

/** ln p of the scored tokens by the float64 reference. */
function logprob(side: boolean, ids: readonly number[], from: number): number {
  const logits = sequenceLogits(reference, side ? adapterValues : [], [...ids]);
  let sum = 0;
  for (let t = from; t < ids.length; t++) {
    const row = logits.subarray((t - 1) * SHAPE.vocab, t * SHAPE.vocab);
    sum += row[ids[t]] - Math.log(row.reduce((total, z) => total + Math.exp(z), 0));
  }
  return sum;
}

test('both sides of every choice, in small passes and in one; counts and files', async () => {
  const result = await evaluateTask(open, adapter, tokenizer, task, { stopIds: [] });
  expect(await evaluateTask(open, adapter, tokenizer, task, { stopIds: [], budget: 20 })).toEqual({
    ...result,
    seconds: expect.any(Number),
  });
  const encoder = new ItemEncoder(tokenizer, 512);
  result.items.forEach(({ item, sides }, i) => {
    const { sequences, lengths } = encoder.choices(items[i]);
    for (const [s, side] of sides.entries()) {
      side.scores.forEach((score, c) => {
        expect(Math.abs(score.logprob - logprob(s === 1, sequences[c].ids, sequences[c].scoredFrom))).toBeLessThan(
          1e-4,
        );
      });
      expect(side.values).toEqual(itemMetrics(item, side.scores, lengths));
    }
  });
  const json = resultsJson([result], [], { model: 'm', adapter: 'a', date: new Date(1e12) }) as Record<
    string,
    Record<string, Record<string, number>>
  >;
  const right = result.items.filter(({ sides }) => sides[1].values.acc === 1).length;
  expect(json.results.letters['acc,none']).toBeCloseTo(right / 9, 12);
  expect(json.base_results.letters['acc,none']).toBeCloseTo(
    result.items.filter(({ sides }) => sides[0].values.acc === 1).length / 9,
    12,
  );
  expect(json['n-samples'].letters).toEqual({ original: 9, effective: 9 });
  expect(json.date).toBe(1e9);
  const table = tableCsv([result]).trimEnd().split('\r\n');
  expect(table).toHaveLength(3);
  expect(table[1].split(',').slice(0, 3)).toEqual(['letters', 'acc', '9']);
  expect(itemsCsv(result).trimEnd().split('\r\n')).toHaveLength(10);
  expect(itemsCsv(result).split('\r\n')[0]).toBe(
    'task,line,question,gold,base_acc,base_acc_norm,base_logprobs,tuned_acc,tuned_acc_norm,tuned_logprobs',
  );
  const flipped = result.items.filter(({ sides }) => sides[0].values.acc !== sides[1].values.acc).length;
  expect(itemsCsv(result, true).trimEnd().split('\r\n')).toHaveLength(1 + flipped);
});

test('sharing contexts saves what it promises', () => {
  const encoder = new ItemEncoder(tokenizer, 512);
  const sets = items.map((item) => encoder.choices(item).sequences);
  expect(planScores(open, sets).tokens).toBeLessThan(0.7 * planScores(open, sets, { share: false }).tokens);
});

test('preference pairs by mean and by sum', async () => {
  const pair = (chosen: number[], rejected: number[]) => ({
    chosen_input_ids: [17, 1, ...chosen],
    chosen_labels: [-100, -100, ...chosen],
    rejected_input_ids: [17, 1, ...rejected],
    rejected_labels: [-100, -100, ...rejected],
  });
  const pairs = [pair([2, 3], [4]), pair([5], [5, 6, 7])];
  const rows = pairs.map((_, i) => ({ prompt: `p${i}`, line: i + 1 }));
  const result = await evaluateTask(open, adapter, tokenizer, pairTask('held out', rows, pairs, [0, 1]), {
    stopIds: [],
  });
  expect(result.metrics).toEqual(['acc_mean', 'acc_sum']);
  result.items.forEach(({ sides }, i) => {
    sides.forEach(({ values }, s) => {
      const [c, r] = [pairs[i].chosen_input_ids, pairs[i].rejected_input_ids].map((ids) => ({
        sum: logprob(s === 1, ids, 2),
        mean: logprob(s === 1, ids, 2) / (ids.length - 2),
      }));
      expect(values).toEqual({ acc_mean: c.mean > r.mean ? 1 : 0, acc_sum: c.sum > r.sum ? 1 : 0 });
    });
  });
});

describe('produced answers', () => {
  test('the text before the first stop text; decided as soon as nothing can change it', () => {
    expect(trimAnswer(' True\n\nQ: next', ['</s>', 'Q', '\n\n'])).toBe('True');
    expect(trimAnswer(' yes ', [])).toBe('yes');
    const item = { target: 'True', until: ['</s>', 'Q', '\n\n'] };
    for (const text of ['', ' ', ' Tr', ' True', ' True</', ' True\n'])
      expect([text, isDecided(text, item)]).toEqual([text, false]);
    for (const text of [' F', ' True!', ' TrueQ', ' True\n\n', ' Trueq'])
      expect([text, isDecided(text, item)]).toEqual([text, true]);
  });

  test('greedy, of both sides, against the target', async () => {
    const greedy = (side: boolean) => {
      const ids = [17, ...tokenizer.encode('ab')];
      for (let i = 0; i < 3; i++) {
        const row = sequenceLogits(reference, side ? adapterValues : [], ids).slice(-SHAPE.vocab);
        ids.push(row.indexOf(Math.max(...row)));
      }
      return tokenizer.decode(ids.slice(3));
    };
    const asked = [false, true].map((side, i) => ({
      ...{ kind: 'answer' as const, line: i + 1, title: '', prompt: 'ab', target: greedy(side).trim() },
      until: [greedy(side).at(-1)!],
    }));
    const result = await evaluateTask(
      open,
      adapter,
      tokenizer,
      { ...task, items: asked, metrics: metricsOf(asked) },
      { stopIds: [] },
    );
    result.items.forEach(({ sides }, i) => {
      const [base, tuned] = sides.map(({ answer }) => answer);
      const expected = trimAnswer(greedy(i === 1), asked[i].until);
      expect(i === 0 ? base : tuned).toBe(expected);
    });
  });
});

describe('perplexity', () => {
  test('windows score every token once, with half a window before it', () => {
    const ids = Array.from({ length: 50 }, (_, i) => i);
    const windows = windowsOf(ids, 16, 8);
    expect(windows.flatMap(({ ids, scoredFrom }) => ids.slice(scoredFrom))).toEqual(ids.slice(1));
    windows.forEach(({ ids, scoredFrom }, i) => {
      expect(ids.length).toBeLessThanOrEqual(17);
      if (i > 0) expect(scoredFrom).toBeGreaterThanOrEqual(8);
    });
    expect(windowsOf(ids.slice(0, 9), 16, 8)).toEqual([{ ids: ids.slice(0, 9), scoredFrom: 1 }]);
  });

  test('of a text in one window and in several, before and after', async () => {
    const text = 'hijklmabcdefg abcabc mlkjih';
    const ids = [17, ...tokenizer.encode(text)];
    const whole = await textPerplexity(open, adapter, tokenizer, text, { name: 't', window: 64 });
    expect(whole).toMatchObject({ tokens: text.length, bytes: text.length, windows: 1 });
    for (const [side, numbers] of [whole.base, whole.tuned!].entries()) {
      const sum = logprob(side === 1, ids, 1);
      expect(numbers.perplexity / Math.exp(-sum / text.length)).toBeCloseTo(1, 5);
      expect(numbers.bitsPerByte).toBeCloseTo(-sum / text.length / Math.LN2, 5);
    }
    const cut = await textPerplexity(open, null, tokenizer, text, { name: 't', window: 8, stride: 4 });
    const sums = windowsOf(ids, 8, 4).map(({ ids, scoredFrom }) => logprob(false, ids, scoredFrom));
    expect(cut.base.logprob).toBeCloseTo(
      sums.reduce((a, b) => a + b, 0),
      4,
    );
    await expect(textPerplexity(open, null, tokenizer, '', { name: 't' })).rejects.toMatchObject({ code: 'no-text' });
  });
});

test('contexts that are too long lose their beginning, and are counted', async () => {
  expect(cutLeft({ ids: [1, 2, 3, 4, 5], scoredFrom: 3 }, 3)).toEqual({ ids: [2, 3, 4, 5], scoredFrom: 2 });
  expect(cutLeft({ ids: [1, 2, 3, 4, 5], scoredFrom: 1 }, 2)).toEqual({ ids: [3, 4, 5], scoredFrom: 1 });
  const result = await evaluateTask(
    open,
    null,
    tokenizer,
    { ...task, items: items.slice(0, 1) },
    { stopIds: [], maxLength: 5 },
  );
  expect(result.cut).toBe(2);
});

test('pause holds it between passes, cancel ends it', async () => {
  const control = new EvalControl();
  let passes = 0;
  const onProgress = () => {
    if (++passes === 2) control.pause();
  };
  const run = evaluateTask(open, null, tokenizer, task, { stopIds: [], budget: 20, control, onProgress });
  run.catch(() => {});
  await expect.poll(() => control.paused).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const held = passes;
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(passes).toBe(held);
  expect(held).toBeLessThan(5);
  control.cancel();
  await expect(run).rejects.toMatchObject({ code: 'cancelled' });
});
