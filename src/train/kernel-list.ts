/**
 * The kernels that a run will use, found by recording some of its passes with nothing behind them: neither memory is taken nor
 * work sent to the GPU, so all of them can be compiled at once before the first step.
 */
import { packPairs } from '../data/packing';
import type { KernelSpec } from '../gpu/kernels';
import { Listing } from '../gpu/listing';
import { dropoutShare } from '../model/plan';
import { type LoadedModel, Session } from '../model/session';
import { optimizerStep } from './optimizer';
import { evalBatches, type PassPair, type ShapedPair, splitPasses } from './passes';
import type { TrainingPlan } from './run-plan';

/** Tiles depend on a pass's tokens: this many passes of later steps, from the shortest to the longest, are recorded too. */
const LATER_PASSES = 5;

function laterPasses({ steps, train, hparams, budget }: TrainingPlan): PassPair[][] {
  const tokens = (pass: readonly PassPair[]) => pass.reduce((sum, { row }) => sum + train[row].shape.tokens, 0);
  const passes = steps.slice(1).flatMap(({ micro }) => splitPasses(micro, train, hparams.beta, budget));
  passes.sort((a, b) => tokens(a) - tokens(b));
  const count = Math.min(LATER_PASSES, passes.length);
  return Array.from(
    { length: count },
    (_, i) => passes[Math.round((i * (passes.length - 1)) / Math.max(1, count - 1))],
  );
}

/** What the first step, the first pass of an evaluation and passes of other sizes use. Odd sizes may need a few more. */
export async function kernelsOf(model: LoadedModel, plan: TrainingPlan): Promise<KernelSpec[]> {
  const { hparams, steps, train, evaluation, budget } = plan;
  const cmd = new Listing(model.gpu.device);
  const { device } = cmd;
  const session = await Session.create(
    { ...model, gpu: { ...model.gpu, device }, cmd },
    plan.lora,
    plan.capacity,
    hparams,
  );
  const tile = model.gpu.profile.attentionTile;
  const packOf = (pass: readonly PassPair[], rows: readonly ShapedPair[]) =>
    packPairs(
      pass.map(({ row, scales }) => ({ ...rows[row], scales })),
      hparams.nll_on_prompt,
      tile,
    );
  const p = dropoutShare(hparams);
  const passes = splitPasses(steps[0].micro, train, hparams.beta, budget);
  // Kernels without tiles are the same for every size.
  if (!model.gpu.profile.direct) passes.push(...laterPasses(plan));
  for (const [i, pass] of passes.entries()) {
    const pack = packOf(pass, train);
    session.setDropout(p > 0 ? { p, seed: 0, firstToken: 0 } : null);
    await session.forward(pack, true);
    await session.backward(pack, i > 0);
  }
  optimizerStep(session, hparams, 1, hparams.learning_rate);
  if (evaluation.length) {
    const batches = evalBatches(evaluation.length, hparams.per_device_eval_batch_size);
    const [first] = splitPasses(batches, evaluation, hparams.beta, budget);
    session.setDropout(null);
    await session.forward(packOf(first, evaluation), false);
  }
  return [...cmd.specs.values()];
}
