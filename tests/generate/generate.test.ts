/** Generation around the passes: slots, chains of steps, stop tokens, sampling, cancelling, and what is refused. */
import { describe, expect, test } from 'vitest';
import { memoryFiles } from '../../src/formats/bytes';
import { generate, generateOnce, planGeneration } from '../../src/generate/generate';
import { candidates, drawer, GREEDY, sample } from '../../src/generate/sampling';
import { stopTokens } from '../../src/generate/stop-tokens';
import { InferenceSession } from '../../src/inference/session';
import { device, openModel } from '../model/support';
import { sequenceLogits } from '../reference/model';
import { randomModel, TINY_SHAPE } from '../reference/random-model';
import { createRng } from '../reference/rng';

const SHAPE = { ...TINY_SHAPE, intermediate: 20 };
const rng = createRng(33);
const reference = randomModel(rng, SHAPE, true);
const open = await openModel(reference);
const prompts = [7, 2, 19, 1, 40, 11].map((length) => Array.from({ length }, () => rng.int(SHAPE.vocab)));

/** Greedy answer of the float64 reference. */
function greedy(prompt: readonly number[], count: number): number[] {
  const ids = [...prompt];
  for (let i = 0; i < count; i++) {
    const row = sequenceLogits(reference, [], ids).slice(-SHAPE.vocab);
    ids.push(row.indexOf(Math.max(...row)));
  }
  return ids.slice(prompt.length);
}

const expected = prompts.map((prompt) => greedy(prompt, 12));

async function session(sequences: number, maxNewTokens: number): Promise<InferenceSession> {
  const lengths = prompts.map(({ length }) => length);
  const plan = planGeneration(open.config, device.limits, open.gpu.profile.attentionTile, lengths, maxNewTokens);
  return InferenceSession.create(open, { ...plan, sequences, tokens: 40 });
}

test('more prompts than slots: each gets its own greedy answer, in order of its tokens', async () => {
  for (const sequences of [1, 2, 6]) {
    const s = await session(sequences, 12);
    const seen: number[][] = prompts.map(() => []);
    const answers = await generate(s, prompts, {
      maxNewTokens: 12,
      onToken: ({ prompt, id }) => seen[prompt].push(id),
    });
    expect(answers.map(({ ids }) => ids)).toEqual(expected);
    expect(seen).toEqual(expected);
    expect(answers.every(({ finish, margins }) => finish === 'length' && margins.length === 12)).toBe(true);
    s.destroy();
  }
});

test('an answer ends with the first stop token, whichever it is', async () => {
  const stopIds = [expected[0][3], expected[2][0]];
  const answers = await generateOnce(open, null, prompts, { maxNewTokens: 12, stopIds });
  answers.forEach(({ ids, finish }, i) => {
    const at = expected[i].findIndex((id) => stopIds.includes(id));
    expect(ids).toEqual(at < 0 ? expected[i] : expected[i].slice(0, at + 1));
    expect(finish).toBe(at < 0 ? 'length' : 'stop');
  });
  expect(answers[2].ids).toHaveLength(1);
});

test('an embedding that stays in storage: tokens are read back at every step', async () => {
  const untied = randomModel(createRng(34), SHAPE, false);
  const model = await openModel(untied);
  const [answer] = await generateOnce(model, null, [prompts[0]], { maxNewTokens: 5 });
  const ids = [...prompts[0]];
  for (let i = 0; i < 5; i++) {
    const row = sequenceLogits(untied, [], ids).slice(-SHAPE.vocab);
    ids.push(row.indexOf(Math.max(...row)));
  }
  expect(answer.ids).toEqual(ids.slice(prompts[0].length));
});

test('sampled answers depend on the seed, and not on what runs beside them', async () => {
  const options = { maxNewTokens: 8, temperature: 1, seed: 5 };
  const few = await session(2, 8);
  const many = await session(6, 8);
  const answers = await generate(many, prompts, options);
  expect(await generate(few, prompts, options)).toEqual(answers);
  expect(await generate(few, prompts, { ...options, seed: 6 })).not.toEqual(answers);
  // One candidate is the greedy choice.
  const sure = await generate(few, prompts, { ...options, topK: 1 });
  expect(sure.map(({ ids }) => ids)).toEqual(expected.map((ids) => ids.slice(0, 8)));
  few.destroy();
  many.destroy();
});

test('cancelling ends it between steps', async () => {
  const s = await session(2, 12);
  const abort = new AbortController();
  let tokens = 0;
  const onToken = () => {
    if (++tokens === 3) abort.abort();
  };
  await expect(generate(s, prompts, { maxNewTokens: 12, signal: abort.signal, onToken })).rejects.toMatchObject({
    code: 'cancelled',
  });
  s.destroy();
});

describe('what is refused', () => {
  const plan = (lengths: number[], most: number, room?: number) => () =>
    planGeneration(open.config, device.limits, 16, lengths, most, room);

  test('with numbers', () => {
    expect(plan([500], 13)).toThrow('The longest prompt has 500 tokens and may get 13 more; this model reads 512.');
    // Two layers, two key heads of four values, keys and values, four bytes: 128 bytes a token.
    expect(plan([500], 12, 512 * 128)).not.toThrow();
    expect(plan([500], 12, 512 * 128 - 1)).toThrow('The keys and values of 512 tokens need 0.1 MiB');
    expect(plan([3, 0], 2)).toThrow('There is no prompt to answer.');
    expect(plan([3], 0)).toThrow('at least 1');
  });

  test('settings out of range', async () => {
    for (const bad of [{ temperature: -1 }, { topP: 0 }, { topK: 1.5 }]) {
      await expect(generateOnce(open, null, prompts, { maxNewTokens: 2, ...bad })).rejects.toMatchObject({
        code: 'bad-setting',
      });
    }
  });
});

test('temperature, top-k and top-p in transformers’ order', () => {
  const logits = [0, Math.log(4), Math.log(2), Math.log(3)];
  const of = (options: object) => candidates(logits, { ...GREEDY, temperature: 1, ...options });
  expect(of({}).ids).toEqual([1, 3, 2, 0]);
  of({}).probabilities.forEach((p, i) => {
    expect(p).toBeCloseTo((4 - i) / 10, 12);
  });
  expect(of({ topK: 2 }).probabilities[0]).toBeCloseTo(4 / 7, 12);
  // 0.4 + 0.3 reach 0.6; of the best three 4/9 + 3/9 reach 0.75 as well.
  expect(of({ topP: 0.6 }).ids).toEqual([1, 3]);
  expect(of({ topP: 0.75, topK: 3 }).ids).toEqual([1, 3]);
  expect(of({ topP: 0.1 }).ids).toEqual([1]);
  expect(of({ temperature: 0.5 }).probabilities[0]).toBeCloseTo(16 / 30, 12);
  expect(sample(logits, { ...GREEDY, temperature: 1 }, 0.39)).toBe(1);
  expect(sample(logits, { ...GREEDY, temperature: 1 }, 0.41)).toBe(3);
  expect(sample(logits, { ...GREEDY, temperature: 1 }, 0.999999)).toBe(0);
  const draws = Array.from({ length: 4000 }, drawer(3, 1));
  expect(draws.reduce((a, b) => a + b, 0) / 4000).toBeCloseTo(0.5, 1);
});

test('stop tokens: a list, one, the config’s, the tokenizer’s', async () => {
  const of = (files: Record<string, object>) =>
    stopTokens(memoryFiles(Object.fromEntries(Object.entries(files).map(([n, j]) => [n, JSON.stringify(j)]))), {
      eosTokenId: 2,
    });
  expect(
    await of({ 'generation_config.json': { eos_token_id: [8185, 8177] }, 'config.json': { eos_token_id: 1 } }),
  ).toEqual([8185, 8177]);
  expect(await of({ 'generation_config.json': { eos_token_id: 7 } })).toEqual([7]);
  expect(await of({ 'generation_config.json': {}, 'config.json': { eos_token_id: 1 } })).toEqual([1]);
  expect(await of({ 'config.json': { eos_token_id: null } })).toEqual([2]);
});
