/** Answers through the engine's requests: during a run, from the base and the tuned model, and the votes on them. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tallyOf } from '../../src/eval/votes';
import { DEFAULT_SAMPLES } from '../../src/train/sample-settings';
import type { ChatOrder, SampleRecord, StepRecord, WorkerEvent } from '../../src/worker/protocol';
import { jsonl, shortRows } from '../page/support/rows';
import { repositoryPath } from '../support/files';
import { loadModel, loadRows, type OpenStudio, openPlace, openStudio, type Place, runSettings } from './studio-support';

const STEPS = 5;
const HPARAMS = {
  ...{ max_steps: STEPS, per_device_train_batch_size: 1, gradient_accumulation_steps: 1, learning_rate: 1e-2 },
  ...{ max_length: 64, max_prompt_length: 40, lora_r: 4, lora_alpha: 8, save_steps: 0 },
};
const SAMPLES = { ...DEFAULT_SAMPLES, sample_steps: 2, max_new_tokens: 6 };
const PLAIN = runSettings(HPARAMS, { evalFraction: 0.4 });
const ASKED = { ...PLAIN, samples: SAMPLES };
const FORMAT = { format: 'as-is', system: '', date: '', template: '' } as const;
const GREEDY = { temperature: 0, top_p: 1, seed: 7, max_new_tokens: 6 };

let place: Place;
let open: OpenStudio;
let onEvent: (event: WorkerEvent) => void = () => {};

const since = <K extends WorkerEvent['event']>(from: number, name: K) =>
  open.events.slice(from).filter((e) => e.event === name) as Extract<WorkerEvent, { event: K }>[];
const steps = (from: number): StepRecord[] => since(from, 'step').map(({ record }) => record);
const samples = (from: number): SampleRecord[] => since(from, 'sample').map(({ record }) => record);
const until = async (state: string, from: number) => {
  while (since(from, 'progress').at(-1)?.progress.state !== state) await new Promise((done) => setTimeout(done, 2));
};
const order = (answers: ChatOrder['answers'], sampling = GREEDY): ChatOrder => ({
  ...{ answers, sampling, format: FORMAT },
  tokens: { bos_token_id: 'tokenizer', eos_token_id: 'tokenizer', pad_token_id: 'tokenizer' },
});
const asked = (content: string) => ({ turns: [{ role: 'user', content }] });

beforeAll(async () => {
  place = await openPlace();
  open = await openStudio(place, { listen: (event) => onEvent(event) });
  await loadModel(open);
  await loadRows(open, jsonl(shortRows(6)));
});
afterAll(async () => {
  open?.device().destroy();
  await place?.close();
});

test('the base model answers in the greedy ids that transformers gave, as they come', async () => {
  const path = repositoryPath('tests/goldens/generation/greedy_stories-260k.json');
  const goldens = JSON.parse(readFileSync(path, 'utf8')) as {
    prompt: string;
    prompt_ids: number[];
    greedy_ids: number[];
  }[];
  const tokens = 24;
  for (const { prompt, prompt_ids, greedy_ids } of goldens.slice(0, 2)) {
    const from = open.events.length;
    // A prompt as it is typed: the format puts the line break.
    const typed = asked(prompt.trimEnd());
    const [answer] = await open.studio.handlers.chat(
      order([{ side: 'base', prompt: typed }], { ...GREEDY, max_new_tokens: tokens }),
    );
    expect(answer.promptTokens).toBe(prompt_ids.length);
    expect(answer.ids).toEqual(greedy_ids.slice(0, tokens));
    expect(answer.finish).toBe('length');
    const told = since(from, 'answering');
    expect(told.length).toBeGreaterThan(0);
    expect(told.every(({ text }) => answer.text.startsWith(text))).toBe(true);
  }
  await expect(open.studio.handlers.chat(order([{ side: 'tuned', prompt: asked('Hello.') }]))).rejects.toMatchObject({
    code: 'no-adapter',
  });
});

test('prompts come from held-out pairs, as training begins them', async () => {
  const { from, prompts } = await open.studio.handlers.heldOutPrompts({ settings: PLAIN, count: 9 });
  expect(from).toBe('held-out');
  const rows = shortRows(6).map(({ prompt }) => prompt);
  expect(prompts.length).toBeGreaterThan(0);
  expect(prompts.every(({ text, rendered }) => rows.includes(text) && rendered === text)).toBe(true);
  const plan = await open.studio.handlers.plan(ASKED);
  expect(plan.samplePrompts).toEqual(prompts.slice(0, 3).map(({ text }) => text));
  const without = await open.studio.handlers.plan(PLAIN);
  expect(without.samplePrompts).toEqual([]);
  const cache = (items: typeof plan.memory) => items.find(({ name }) => name === 'cache')!.bytes;
  expect(cache(without.memory)).toBe(0);
  expect(cache(plan.memory)).toBeGreaterThan(0);
  const long = { ...ASKED, samples: { ...SAMPLES, max_new_tokens: 600 } };
  expect((await open.studio.handlers.plan(long)).blockers.join()).toContain('this model reads 512');
});

test('answers during a run leave its curve alone, bit for bit, and are kept with it', async () => {
  const { studio, events } = open;
  await studio.handlers.train(PLAIN);
  const plain = steps(0);
  const [{ record: without }] = await studio.handlers.runs({});
  const from = events.length;
  await studio.handlers.train(ASKED);
  expect(steps(from)).toEqual(plain);
  const told = samples(from);
  expect(told.map(({ step }) => step)).toEqual([0, 2, 4, STEPS]);
  const [{ record }] = await studio.handlers.runs({});
  expect(record.id).not.toBe(without.id);
  expect(record.settings.samples).toEqual(SAMPLES);
  expect((await studio.handlers.runCurves({ id: record.id })).samples).toEqual(told);

  // The last answers are those that the finished adapter gives, the first those of the base model.
  const { prompts } = await studio.handlers.heldOutPrompts({ settings: PLAIN, count: told[0].answers.length });
  for (const [i, { rendered }] of prompts.entries()) {
    const sides = (['base', 'tuned'] as const).map((side) => ({ side, prompt: { rendered } }));
    const [base, tuned] = await studio.handlers.chat(order(sides));
    expect(told[0].answers[i].greedy.text).toBe(base.text);
    expect(told.at(-1)!.answers[i].greedy.text).toBe(tuned.text);
  }
  expect(told.at(-1)).not.toEqual({ ...told[0], step: STEPS });
});

test('cut short and continued, a run gives the same curve and the same answers', async () => {
  const { studio, events } = open;
  const [{ record: whole }] = await studio.handlers.runs({});
  const { steps: wanted, samples: answers } = await studio.handlers.runCurves({ id: whole.id });
  onEvent = (event) => event.event === 'step' && event.record.step === 2 && void studio.handlers.pause({});
  const from = events.length;
  const run = studio.handlers.train(ASKED);
  await until('paused', from);
  onEvent = () => {};

  // Paused, it lends its adapter; resumed, it takes the GPU from an answer in work.
  const [talk] = await studio.handlers.chat(order([{ side: 'tuned', prompt: asked('Hello.') }]));
  expect(talk.ids.length).toBeGreaterThan(0);
  const long = { ...GREEDY, temperature: 1, max_new_tokens: 400 };
  const cut = studio.handlers.chat(order([{ side: 'tuned', prompt: asked('Once.') }], long));
  await new Promise((done) => setTimeout(done, 5));
  await studio.handlers.stop({});
  expect((await cut)[0].finish).toBe('stopped');
  expect(await run).toMatchObject({ state: 'stopped' });

  const { runId } = since(from, 'runKept')[0];
  await studio.handlers.continueRun({ id: runId });
  expect(steps(from)).toEqual(wanted);
  expect(samples(from)).toEqual(answers);
  expect((await studio.handlers.runCurves({ id: runId })).samples).toEqual(answers);
});

test('so they do with DoRA, whose factors lie in buffers that both read', async () => {
  const { studio, events } = open;
  const settings = runSettings({ ...HPARAMS, use_dora: true, max_steps: 3 }, { evalFraction: 0.4 });
  const from = events.length;
  await studio.handlers.train(settings);
  const plain = steps(from);
  const then = events.length;
  await studio.handlers.train({ ...settings, samples: { ...SAMPLES, sample_steps: 1 } });
  expect(steps(then)).toEqual(plain);
  const told = samples(then);
  expect(told.map(({ step }) => step)).toEqual([0, 1, 2, 3]);
  const { prompts } = await studio.handlers.heldOutPrompts({ settings: PLAIN, count: 1 });
  const [tuned] = await studio.handlers.chat(order([{ side: 'tuned', prompt: { rendered: prompts[0].rendered } }]));
  expect(told.at(-1)!.answers[0].greedy.text).toBe(tuned.text);
});

test('without room for answers the run goes on without them', async () => {
  const { studio, events } = open;
  const device = open.device();
  const [create, pop] = [device.createBuffer.bind(device), device.popErrorScope.bind(device)];
  let full = false;
  device.createBuffer = (descriptor) => {
    full ||= descriptor.label?.startsWith('cache.') === true;
    return create(descriptor);
  };
  device.popErrorScope = async () => {
    const error = await pop();
    const told = full ? ({ message: 'full' } as GPUError) : error;
    full = false;
    return told;
  };
  const from = events.length;
  await studio.handlers.train(ASKED);
  Object.assign(device, { createBuffer: create, popErrorScope: pop });
  expect(since(from, 'samplesFailed').map(({ error }) => error.code)).toEqual(['out-of-memory']);
  expect(samples(from)).toEqual([]);
  expect(steps(from)).toHaveLength(STEPS);
});

test('while a run trains, nobody answers; the seed makes a sampled answer', async () => {
  const { studio } = open;
  const ask = () => studio.handlers.chat(order([{ side: 'base', prompt: asked('Hello.') }]));
  let refused: Promise<unknown> | null = null;
  onEvent = (event) => {
    if (event.event === 'step') refused ??= ask().catch((error: unknown) => error);
  };
  await studio.handlers.train(PLAIN);
  onEvent = () => {};
  expect(await refused).toMatchObject({ code: 'busy', message: expect.stringContaining('Pause it') });
  const drawn = async (seed: number) =>
    (
      await studio.handlers.chat(
        order(
          (['base', 'base', 'tuned'] as const).map((side) => ({ side, prompt: asked('Once.') })),
          { ...GREEDY, temperature: 1, max_new_tokens: 12, seed },
        ),
      )
    ).map(({ ids }) => ids);
  const [first, again, tuned] = await drawn(1);
  expect(again).toEqual(first);
  expect(tuned).not.toEqual(first);
  expect((await drawn(2))[0]).not.toEqual(first);
});

test('votes stay with the run, and are told with what they are worth', async () => {
  const { studio } = open;
  const [{ record }] = await studio.handlers.runs({});
  const vote = { prompt: 'Once.', step: STEPS, sampling: { temperature: 0, top_p: 1, seed: 1 }, at: 1 };
  for (const choice of ['tuned', 'tie', 'tuned'] as const) {
    await studio.handlers.vote({ id: record.id, vote: { ...vote, choice } });
  }
  const [{ record: after }] = await studio.handlers.runs({});
  expect(after.votes?.map(({ choice }) => choice)).toEqual(['tuned', 'tie', 'tuned']);
  const few = tallyOf(after.votes!);
  expect(few).toMatchObject({ tuned: 2, base: 0, ties: 1, p: null });
  expect(few.sentence).toContain('Too few to tell');
  const card = await studio.handlers.exportKept({ id: record.id, form: 'card' });
  const text = await new Response(card.download!.stream as never).text();
  expect(JSON.parse(text).result.votes).toMatchObject({ tuned: 2, ties: 1 });

  const votes = (tuned: number, base: number) =>
    [...Array(tuned).fill('tuned'), ...Array(base).fill('base')].map((choice) => ({ choice }));
  // 2 (1 + 9) / 2^9 and 2 (1 + 7 + 21) / 2^7.
  expect(tallyOf(votes(8, 1)).p).toBeCloseTo(20 / 512, 12);
  expect(tallyOf(votes(8, 1)).sentence).toMatch(/^The tuned model was preferred in 8 of 9 decided votes.*p = 0\.039/);
  expect(tallyOf(votes(2, 5)).p).toBeCloseTo(58 / 128, 12);
  expect(tallyOf(votes(2, 5)).sentence).toMatch(/^7 decided votes cannot tell the two from chance/);
});
