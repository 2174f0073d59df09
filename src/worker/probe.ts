/** How long a run will take, from two of its steps. */
import { evaluatesAfter } from '../data/sampler';
import { initialAdapter, uploadAdapter } from '../model/adapter';
import type { OpenModel } from '../model/load';
import { Session } from '../model/session';
import type { ShapedPair } from '../train/passes';
import type { TrainingPlan } from '../train/run-plan';
import { Trainer } from '../train/trainer';
import type { ProbeResult } from './protocol';

/** An evaluation has no backward, which is twice the work of a forward. */
const FORWARD_SHARE = 1 / 3;

const tokensOf = (rows: readonly ShapedPair[]): number => rows.reduce((sum, { shape }) => sum + shape.tokens, 0);

/** Makes two steps on the GPU and forgets them. Of the first most is compiling; the second says how fast the rest will be. */
export async function probe(model: OpenModel, plan: TrainingPlan): Promise<ProbeResult> {
  const session = await Session.create(model, plan.lora, plan.capacity, plan.hparams);
  try {
    uploadAdapter(session, initialAdapter(plan.lora, plan.hparams.init_seed));
    // Without held-out pairs: a short run would evaluate after these steps.
    const trainer = new Trainer(session, { ...plan, evaluation: [] });
    const stepTokens = ({ micro }: TrainingPlan['steps'][number]) =>
      tokensOf(micro.flat().map((row) => plan.train[row]));
    const began = performance.now();
    await trainer.run({ maxSteps: 1 });
    const first = performance.now();
    const second = plan.steps[Math.min(1, plan.steps.length - 1)];
    // A run of one step has no second: the first is made again.
    if (plan.steps.length === 1) trainer.resume([], []);
    await trainer.run({ maxSteps: Math.min(2, plan.steps.length) });
    const seconds = (performance.now() - first) / 1000;
    const perToken = seconds / stepTokens(second);
    const total = plan.steps.length;
    const evaluations = plan.steps.filter((_, i) => evaluatesAfter(i + 1, total, plan.evalEvery)).length;
    const tokens = plan.steps.reduce((sum, step) => sum + stepTokens(step), 0);
    const held = evaluations * tokensOf(plan.evaluation) * FORWARD_SHARE;
    return {
      firstSeconds: (first - began) / 1000,
      secondsPerStep: (perToken * tokens) / total,
      totalSeconds: perToken * (tokens + held),
    };
  } finally {
    session.destroy();
  }
}
