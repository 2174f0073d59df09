/** The training loop on a tiny model: against float64 step by step, and what a stop or a bad number leaves behind. */
import { describe, expect, test } from 'vitest';
import { downloadAdapter, initialAdapter } from '../../src/model/adapter';
import { TrainingError } from '../../src/train/errors';
import type { StepRecord } from '../../src/train/records';
import { Trainer } from '../../src/train/trainer';
import { openModel } from '../model/support';
import { AdamW, clipGradNorm } from '../reference/adamw';
import { packPairs as referencePack } from '../reference/batch';
import { type Adapter, adapterTensors, batchLoss, lossAndGradients } from '../reference/model';
import { randomAdapter, randomPair } from '../reference/random-model';
import { createRng } from '../reference/rng';
import { lrFactor } from '../reference/schedule';
import { relativeL2 } from '../support/close';
import { HPARAMS, open, pairs, type Run, reference, SHAPE, start } from './support';

const adapterOf = async ({ session }: Run) =>
  new Map([...(await downloadAdapter(session))].map(([name, { values }]) => [name, values]));

/** The reference's adapter with the values of a fresh one. */
function freshReference(run: Run): Adapter {
  const { lora } = run.plan;
  const adapter = randomAdapter(createRng(1), reference, { rank: lora.rank, scale: lora.scale });
  const fresh = initialAdapter(lora, HPARAMS.init_seed);
  for (const [name, values] of adapterTensors(adapter)) values.set(fresh.get(name)!.values);
  return adapter;
}

/** Runs the same steps in float64. */
function referenceRun(run: Run) {
  const { hparams: h, steps, warmup } = run.plan;
  const adapter = freshReference(run);
  const kind = h.optim;
  const optimizer = new AdamW({
    kind,
    beta1: h.adam_beta1,
    beta2: h.adam_beta2,
    eps: h.adam_epsilon,
    weightDecay: h.weight_decay,
  });
  const log = steps.map(({ micro }, k) => {
    const batch = referencePack(
      micro.map((rows) => rows.map((row) => pairs[row])),
      { nllOnPrompt: h.nll_on_prompt },
    );
    const { loss, grads, micro: results } = lossAndGradients(reference, adapter, batch, { beta: h.beta });
    const gradNorm = clipGradNorm(grads.values(), h.max_grad_norm);
    const lr = h.learning_rate * lrFactor(h.lr_scheduler_type, k, warmup, steps.length);
    optimizer.step(adapterTensors(adapter), grads, lr);
    return { loss, gradNorm, lr, metrics: results.map((r) => r.metrics) };
  });
  return { adapter, log };
}

// Adam divides by the gradient's own size, so an error of a gradient's noise is one of the step's: what remains of six
// digits after a dozen steps. Padding, packing or scaling gone wrong shows in the first digits.
const TOLERANCE = 1e-4;

describe('a whole run', () => {
  test.each([
    ['adamw_torch, clipped, token budget of one pair', { max_grad_norm: 0.05 }, 1],
    [
      'adamw_bnb_32bit, weight decay, cosine, no clipping',
      {
        optim: 'adamw_bnb_32bit',
        weight_decay: 0.1,
        lr_scheduler_type: 'cosine',
        max_grad_norm: 0,
        nll_on_prompt: false,
      },
      undefined,
    ],
  ] as const)('%s: every step as in float64', async (_, hparams, mostTokens) => {
    const run = await start({ hparams, mostTokens });
    expect(await run.trainer.run()).toBe(true);
    const expected = referenceRun(run);
    expect(run.trainer.log).toHaveLength(6);
    run.trainer.log.forEach((record, k) => {
      const { loss, gradNorm, lr, metrics } = expected.log[k];
      expect(record.step).toBe(k + 1);
      expect(Math.abs(record.loss / loss - 1), `loss of step ${k + 1}`).toBeLessThan(TOLERANCE);
      expect(Math.abs(record.grad_norm / gradNorm - 1), `norm of step ${k + 1}`).toBeLessThan(10 * TOLERANCE);
      expect(record.learning_rate).toBeCloseTo(lr, 12);
      for (const name of Object.keys(metrics[0]) as (keyof (typeof metrics)[0])[]) {
        const mean = metrics.reduce((sum, m) => sum + m[name], 0) / metrics.length;
        if (name === 'rewards/accuracies') expect(record[name]).toBe(mean);
        else
          expect(Math.abs(record[name] - mean), `${name} of step ${k + 1}`).toBeLessThan(
            TOLERANCE * (1 + Math.abs(mean)),
          );
      }
    });
    const fresh = initialAdapter(run.plan.lora, HPARAMS.init_seed);
    const final = await adapterOf(run);
    for (const [name, values] of adapterTensors(expected.adapter)) {
      const start = fresh.get(name)!.values;
      const update = (v: ArrayLike<number>) => Array.from(v, (x, i) => x - start[i]);
      expect(relativeL2(update(final.get(name)!), update(values)), name).toBeLessThan(1e-2);
    }
    run.session.destroy();
  });

  test('the same seed gives the same log and adapter to the bit, another seed another', async () => {
    const runs = [];
    for (const seed of [7, 7, 8]) {
      const run = await start({ hparams: { seed } });
      await run.trainer.run();
      runs.push({ log: run.trainer.log, adapter: await adapterOf(run) });
      run.session.destroy();
    }
    expect(runs[0]).toEqual(runs[1]);
    expect(runs[0].log).not.toEqual(runs[2].log);
  });

  test('token budgets and gradient checkpointing leave the numbers alone', async () => {
    const logs: StepRecord[][] = [];
    for (const [mostTokens, gradient_checkpointing] of [
      [1, true],
      [25, false],
      [4096, true],
    ] as const) {
      const run = await start({ mostTokens, hparams: { gradient_checkpointing, num_train_epochs: 1 } });
      await run.trainer.run();
      logs.push(run.trainer.log);
      run.session.destroy();
    }
    for (const log of logs.slice(1)) {
      log.forEach((record, k) => {
        for (const [name, value] of Object.entries(record)) {
          const other = logs[0][k][name as keyof typeof record];
          expect(Math.abs(value - other), `${name} of step ${k + 1}`).toBeLessThan(1e-5 * (1 + Math.abs(other)));
        }
      });
    }
  });

  test('evaluation: at its steps, over whole batches and a short one, with no effect on training', async () => {
    const seen: string[] = [];
    const evaluation = [...pairs.slice(0, 4), randomPair(createRng(3), SHAPE.vocab, 20, 9, 9)];
    const run = await start({
      evaluation,
      hparams: { eval_steps: 2, per_device_eval_batch_size: 2 },
      events: {
        onStep: ({ step }) => seen.push(`step ${step}`),
        onEval: ({ step }) => seen.push(`eval ${step}`),
      },
    });
    await run.trainer.run();
    const order = ['step 1', 'step 2', 'eval 2', 'step 3', 'step 4', 'eval 4', 'step 5', 'step 6', 'eval 6'];
    expect(seen).toEqual(order);
    const plain = await start();
    await plain.trainer.run();
    expect(run.trainer.log).toEqual(plain.trainer.log);

    // The last evaluation against float64 with the adapter that the run ended with.
    const adapter = freshReference(run);
    const final = await adapterOf(run);
    for (const [name, values] of adapterTensors(adapter)) values.set(final.get(name)!);
    const { beta } = HPARAMS;
    const batches = [evaluation.slice(0, 2), evaluation.slice(2, 4), evaluation.slice(4)];
    const losses = batches.map((batch) => batchLoss(reference, adapter, referencePack([batch]), { beta }));
    const rows = losses.reduce((sum, { loss }, i) => sum + loss * batches[i].length, 0) / evaluation.length;
    const record = run.trainer.evalLog.at(-1)!;
    expect(Math.abs(record.eval_loss / rows - 1)).toBeLessThan(1e-5);
    const margins = losses.map((l) => l.micro[0].metrics['rewards/margins']);
    // Metrics are the mean over batches, however short; the loss is the mean over rows.
    expect(record['eval_rewards/margins']).toBeCloseTo((margins[0] + margins[1] + margins[2]) / 3, 5);
    run.session.destroy();
    plain.session.destroy();
  });
});

describe('stopping', () => {
  test('maxSteps ends early and leaves the schedule; the run goes on from there to the same end', async () => {
    const whole = await start();
    await whole.trainer.run();
    const parts = await start();
    expect(await parts.trainer.run({ maxSteps: 2 })).toBe(false);
    expect(parts.trainer.log).toEqual(whole.trainer.log.slice(0, 2));
    expect(parts.trainer.step).toBe(2);
    expect(await parts.trainer.run({ maxSteps: 5 })).toBe(false);
    expect(await parts.trainer.run({ maxSteps: 99 })).toBe(true);
    expect(parts.trainer.log).toEqual(whole.trainer.log);
    expect(await adapterOf(parts)).toEqual(await adapterOf(whole));
    parts.session.destroy();
    whole.session.destroy();
  });

  test('an abort ends after the steps in work, with all of them in the log and an adapter to use', async () => {
    const abort = new AbortController();
    const run = await start({ events: { onStep: ({ step }) => step === 2 && abort.abort() } });
    expect(await run.trainer.run({ signal: abort.signal })).toBe(false);
    const { log, step } = run.trainer;
    expect(step).toBe(log.length);
    expect(step).toBeGreaterThanOrEqual(2);
    expect(step).toBeLessThan(6);
    const same = await start();
    await same.trainer.run({ maxSteps: step });
    expect(log).toEqual(same.trainer.log);
    expect(await adapterOf(run)).toEqual(await adapterOf(same));
    run.session.destroy();
    same.session.destroy();
  });

  test('an abort before the start does nothing', async () => {
    const run = await start();
    expect(await run.trainer.run({ signal: AbortSignal.abort() })).toBe(false);
    expect(run.trainer.log).toEqual([]);
    expect(run.trainer.step).toBe(0);
    run.session.destroy();
  });
});

describe('numbers that are not finite', () => {
  // The embedding of one token is broken; one pair holds it.
  const BAD = SHAPE.vocab - 1;

  async function badRun() {
    const broken = structuredClone(reference);
    broken.embed.fill(Number.NaN, BAD * SHAPE.hidden, (BAD + 1) * SHAPE.hidden);
    broken.lmHead = reference.lmHead.slice();
    const model = await openModel(broken);
    const train = pairs.slice(0, 10);
    train[5] = { ...pairs[5], chosen_input_ids: pairs[5].chosen_input_ids.with(0, BAD) };
    const hparams = {
      shuffle: false,
      per_device_train_batch_size: 1,
      gradient_accumulation_steps: 2,
      num_train_epochs: 1,
    };
    return { model, run: await start({ model, train, hparams }), clean: await start({ model, train, hparams }) };
  }

  test('the run ends with the step and the pair named; the adapter is that of the step before', async () => {
    const { model, run, clean } = await badRun();
    const failure = run.trainer.run();
    await expect(failure).rejects.toBeInstanceOf(TrainingError);
    // Row 6 is in the third step of two pairs each.
    await expect(failure).rejects.toMatchObject({
      code: 'non-finite',
      message: expect.stringMatching(/^Step 3: pair 6 /),
    });
    await clean.trainer.run({ maxSteps: 2 });
    expect(run.trainer.log).toEqual(clean.trainer.log);
    expect(run.trainer.step).toBe(2);
    const left = await adapterOf(run);
    expect([...left.values()].every((values) => values.every(Number.isFinite))).toBe(true);
    expect(left).toEqual(await adapterOf(clean));
    // Tried again, it fails in the same place.
    await expect(run.trainer.run()).rejects.toThrow(/^Step 3: pair 6 /);
    expect(await adapterOf(run)).toEqual(left);
    run.session.destroy();
    clean.session.destroy();
    model.weightMemory.destroy();
  });

  test('another trainer of the same session starts afresh', async () => {
    const { model, run, clean } = await badRun();
    await expect(run.trainer.run()).rejects.toThrow(TrainingError);
    const plan = { ...run.plan, train: run.plan.train.with(5, run.plan.train[0]) };
    const again = new Trainer(run.session, plan);
    const before = await adapterOf(run);
    await again.run();
    expect(again.log).toHaveLength(5);
    expect(await adapterOf(run)).not.toEqual(before);
    run.session.destroy();
    clean.session.destroy();
    model.weightMemory.destroy();
  });

  test('a rate that drives the adapter out of float32', async () => {
    const run = await start({ hparams: { learning_rate: 1e30, warmup_steps: 0 } });
    await expect(run.trainer.run()).rejects.toThrow(/^Step 2: pair .* Lower learning_rate/);
    expect(run.trainer.log).toHaveLength(1);
    run.session.destroy();
  });
});

test('nothing of a run stays behind', async () => {
  expect(open.weightMemory.bytes).toBeGreaterThan(0);
  const run = await start();
  await run.trainer.run({ maxSteps: 1 });
  run.session.destroy();
  expect(run.session.memory.bytes).toBe(0);
});
