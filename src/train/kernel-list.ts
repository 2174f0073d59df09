/**
 * The kernels that a run will use, found by recording its first step with nothing behind it: neither memory is taken nor
 * work sent to the GPU, so all of them can be compiled at once before the step itself.
 */
import { packPairs } from '../data/packing';
import type { KernelSpec } from '../gpu/kernels';
import { Listing } from '../gpu/listing';
import { dropoutShare } from '../model/plan';
import { type LoadedModel, Session } from '../model/session';
import { optimizerStep } from './optimizer';
import { evalBatches, type PassPair, type ShapedPair, splitPasses } from './passes';
import type { TrainingPlan } from './run-plan';

/** What the first step and the first pass of an evaluation use. Later packs of odd sizes may need a few more. */
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
  for (const [i, pass] of splitPasses(steps[0].micro, train, hparams.beta, budget).entries()) {
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
