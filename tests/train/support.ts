/** A tiny model, some pairs and a session: what a training run needs. */
import type { TokenizedPair } from '../../src/data/types';
import { initialAdapter, uploadAdapter } from '../../src/model/adapter';
import type { OpenModel } from '../../src/model/load';
import { Session } from '../../src/model/session';
import { DEFAULT_HPARAMS, type HParams } from '../../src/train/hparams';
import { planTraining, type TrainingPlan } from '../../src/train/run-plan';
import { Trainer, type TrainerEvents } from '../../src/train/trainer';
import { openModel } from '../model/support';
import { randomModel, randomPair, TINY_SHAPE } from '../reference/random-model';
import { createRng } from '../reference/rng';

export const SHAPE = { ...TINY_SHAPE, intermediate: 20 };
export const reference = randomModel(createRng(61), SHAPE, true);
export const open = await openModel(reference);

const rng = createRng(62);
/** Eleven pairs, so that the last group of an epoch is short; the last token of the vocabulary is in none of them. */
export const pairs: TokenizedPair[] = Array.from({ length: 11 }, () =>
  randomPair(rng, SHAPE.vocab - 2, 1 + rng.int(8), 1 + rng.int(5), 1 + rng.int(5)),
);

export const HPARAMS: HParams = {
  ...DEFAULT_HPARAMS,
  learning_rate: 1e-2,
  warmup_steps: 1,
  num_train_epochs: 2,
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 2,
  lora_r: 3,
  lora_alpha: 6,
  beta: 0.5,
};

export interface Setup {
  hparams?: Partial<HParams>;
  train?: readonly TokenizedPair[];
  evaluation?: readonly TokenizedPair[];
  mostTokens?: number;
  model?: OpenModel;
  events?: TrainerEvents;
}

export interface Run {
  plan: TrainingPlan;
  session: Session;
  trainer: Trainer;
}

/** A trainer with a fresh adapter. Destroy its session afterwards. */
export async function start(setup: Setup = {}): Promise<Run> {
  const { model = open, train = pairs, evaluation = [], mostTokens } = setup;
  const hparams = { ...HPARAMS, ...setup.hparams };
  const { profile, device } = model.gpu;
  const plan = planTraining(model.config, device.limits, profile, hparams, train, evaluation, mostTokens);
  const session = await Session.create(model, plan.lora, plan.capacity, hparams);
  uploadAdapter(session, initialAdapter(plan.lora, hparams.init_seed));
  return { plan, session, trainer: new Trainer(session, plan, setup.events) };
}
