/**
 * A run that is cut off goes on to the curve of one that was not, bit for bit: its thread killed, or its device
 * destroyed, at ten seeded random steps each. A new device compiles every kernel anew, so of the ten devices two are
 * destroyed unless ALL_KILLS is set.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { randomPermutation } from '../../src/data/random';
import type { EvalRecord, StepRecord } from '../../src/worker/protocol';
import { jsonl, shortRows } from '../page/support/rows';
import { loadModel, loadRows, type OpenStudio, openPlace, openStudio, type Place, runSettings } from './studio-support';

const STEPS = 12;
const KILLS = 10;
const LOSSES = process.env.ALL_KILLS ? KILLS : 2;
const ROWS = jsonl(shortRows(10));
const SETTINGS = runSettings(
  {
    max_steps: STEPS,
    per_device_train_batch_size: 2,
    gradient_accumulation_steps: 1,
    learning_rate: 1e-3,
    max_length: 48,
    max_prompt_length: 24,
    lora_r: 4,
    eval_steps: 5,
    save_steps: 3,
  },
  { evalFraction: 0.3 },
);

interface Curves {
  steps: StepRecord[];
  evals: EvalRecord[];
}

let place: Place;
let whole: Curves;
/** One that stays. */
let device: GPUDevice;

/** All steps and evaluations that a page would have heard of by the end. */
function heard({ events }: OpenStudio): Curves {
  const restored = events.find((event) => event.event === 'restored');
  return {
    steps: [...(restored?.curves.steps ?? []), ...events.flatMap((e) => (e.event === 'step' ? [e.record] : []))],
    evals: [...(restored?.curves.evals ?? []), ...events.flatMap((e) => (e.event === 'eval' ? [e.record] : []))],
  };
}

interface Blow {
  /** With which step it falls. */
  step: number;
  strike(open: OpenStudio): void;
  /** The device of who takes over; absent for a new one. */
  device?: GPUDevice;
}

/**
 * One run that takes all these blows on its way, each in a page of its own over the same storage; only the first has the
 * data. Answers the page in which it ends.
 */
async function through(blows: readonly Blow[]): Promise<OpenStudio> {
  let id: string | undefined;
  for (const blow of blows) {
    const open: OpenStudio = await openStudio(place, {
      device: blow.device,
      listen: (event) => {
        if (event.event === 'step' && event.record.step === blow.step) blow.strike(open);
      },
    });
    await goOn(open, id).catch(() => undefined);
    id ??= open.events.find((event) => event.event === 'runKept')!.runId;
    expect((await place.runs.record(id))!.about.state).not.toMatch(/finished|stopped/);
  }
  const open = await openStudio(place, { device });
  expect(await goOn(open, id)).toMatchObject({ state: 'finished', step: STEPS });
  return open;
}

/** Starts the run, or goes on with it. */
async function goOn(open: OpenStudio, id?: string) {
  await loadModel(open);
  if (id) return open.studio.handlers.continueRun({ id });
  await loadRows(open, ROWS);
  return open.studio.handlers.train(SETTINGS);
}

beforeAll(async () => {
  place = await openPlace();
  const open = await openStudio(place);
  device = open.device();
  await goOn(open);
  whole = heard(open);
});
afterAll(async () => {
  device?.destroy();
  await place?.close();
});

/** Different steps before the last, rising. */
const randomSteps = (count: number, seed: number) =>
  randomPermutation(STEPS - 1, seed)
    .slice(0, count)
    .map((step) => step + 1)
    .sort((a, b) => a - b);

describe('the resumed curve is the uninterrupted one', () => {
  test('which has evaluations, and moves', () => {
    expect(whole.steps.map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1));
    expect(whole.evals.map(({ step }) => step)).toEqual([5, 10, 12]);
    expect(whole.evals[2].eval_loss).toBeLessThan(whole.evals[0].eval_loss);
  });

  const killed = randomSteps(KILLS, 7);
  test(`after its thread was killed at steps ${killed}`, async () => {
    const strike = (open: OpenStudio) => {
      open.kill();
      void open.studio.handlers.stop({});
    };
    const open = await through(killed.map((step) => ({ step, strike, device })));
    expect(heard(open)).toEqual(whole);
    // It went on from a checkpoint, not from the beginning.
    expect(open.events.filter((event) => event.event === 'step').length).toBeLessThan(STEPS);
  });

  const lost = randomSteps(LOSSES, 8);
  test(`after its device was destroyed at steps ${lost}`, async () => {
    const open = await through(lost.map((step) => ({ step, strike: (open) => open.device().destroy() })));
    expect(heard(open)).toEqual(whole);
    expect(open.events.find((event) => event.event === 'restored')!.run.record.error).toBeNull();
  });
});
