/** One recorded run, repeated and compared. */
import { existsSync, readFileSync } from 'node:fs';
import { packPairs } from '../data/packing';
import { planBatches } from '../data/sampler';
import { resolveTokenIds, tokenizeRow } from '../data/tokenize';
import { loadTokenizer, type Tokenizer } from '../data/tokenizer';
import type { PreferenceRow, TokenizedPair } from '../data/types';
import { type AdapterTensor, readAdapter } from '../formats/peft';
import type { KernelProfile } from '../gpu/profile';
import { TIER_TOLERANCES, tolerancesOf } from '../gpu/tiers';
import { downloadAdapter, uploadAdapter } from '../model/adapter';
import { loadModel } from '../model/load';
import { Session } from '../model/session';
import type { HParams } from '../train/hparams';
import { quantizeOptions } from '../train/nf4';
import { parseHParams } from '../train/parse-hparams';
import { splitPasses } from '../train/passes';
import { planTraining, type TrainingPlan } from '../train/run-plan';
import { Trainer } from '../train/trainer';
import { folderFiles } from './node-files';
import { openTierGpu } from './open-gpu';

/** tests/goldens/NAME/golden.json */
export interface GoldenAbout {
  /** Folder name under public/models. */
  model: string;
  /** Folder name of another golden whose init.safetensors this one started from. */
  init?: string;
  /** Folder name of another golden whose rows and tokens this one shares. */
  rows?: string;
  /** Steps that are enough where the adapter computes on the CPU and nobody asked for this run by name; 0: none. */
  cpuSteps?: number;
  /** What has none is reported and not judged. */
  tolerances: {
    firstLoss?: number;
    gradients?: number;
    /** Of every step and every evaluation. */
    loss?: number;
    margins?: number;
    adapterUpdate?: number;
    /** Of every evaluation, in place of `loss`. */
    evalLoss?: number;
    evalAccuracy?: number;
  };
}

export interface Row {
  what: string;
  worst: number;
  /** Null: reported, not judged. */
  limit: number | null;
}

export interface GoldenRun {
  folder: string;
  models: string;
  about: GoldenAbout;
  maxSteps?: number;
  /** As `openTierGpu` takes it. */
  tier?: string;
  report(row: Row): void;
}

type Tensors = Map<string, AdapterTensor>;

const jsonLines = (path: string) =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/**
 * What a recorded run allows in a tier: in f32 its own tolerances; with f16 operands those of the tier for losses and
 * gradients. Rewards are beta times a difference of the losses' size; how far the adapter comes to lie apart is reported.
 */
function tolerancesIn(profile: KernelProfile, own: GoldenAbout['tolerances']): GoldenAbout['tolerances'] {
  const limits = tolerancesOf(profile);
  if (limits === TIER_TOLERANCES.f32) return own;
  const { loss, gradients } = limits;
  const raised = (limit: number | undefined, least: number) => limit && Math.max(limit, least);
  return {
    firstLoss: raised(own.firstLoss, loss),
    gradients: raised(own.gradients, gradients),
    loss: raised(own.loss, loss),
    margins: raised(own.margins, MARGINS),
    evalLoss: raised(own.evalLoss, loss),
    evalAccuracy: own.evalAccuracy,
  };
}

/** Of rewards, absolutely, in tiers with f16 operands. */
const MARGINS = 1e-3;

const relative = (a: number, b: number) => Math.abs(a - b) / Math.max(Math.abs(b), 1e-12);

const norm = (values: Iterable<number>) => {
  let sum = 0;
  for (const v of values) sum += v * v;
  return Math.sqrt(sum);
};

async function adapterFile(folder: string, name: string): Promise<Tensors> {
  return readAdapter(await (await folderFiles(folder)).open(name), name);
}

function tokenizeAll(tokenizer: Tokenizer, rows: PreferenceRow[], hparams: HParams): TokenizedPair[] {
  const { bos, eos } = resolveTokenIds(hparams, tokenizer);
  return rows.map((row) => tokenizeRow(tokenizer, row, hparams, bos, eos).pair);
}

/** Number of rows whose ids or labels differ. */
const differing = (ours: TokenizedPair[], theirs: TokenizedPair[]) =>
  Math.abs(ours.length - theirs.length) +
  theirs.filter((pair, i) =>
    (Object.keys(pair) as (keyof TokenizedPair)[]).some((key) => String(pair[key]) !== String(ours[i]?.[key])),
  ).length;

export async function compareRun({ folder, models, about, maxSteps, tier, report }: GoldenRun): Promise<void> {
  const { hparams, nf4 } = parseHParams(JSON.parse(readFileSync(`${folder}/hparams.json`, 'utf8')));
  const files = await folderFiles(`${models}/${about.model}`);
  const tokenizer = await loadTokenizer(files);
  const rowFolder = about.rows ? `${folder}/../${about.rows}` : folder;
  const train = tokenizeAll(tokenizer, jsonLines(`${rowFolder}/train.jsonl`), hparams);
  const evaluation = tokenizeAll(tokenizer, jsonLines(`${rowFolder}/eval_rows.jsonl`), hparams);
  for (const [pairs, name] of [
    [train, 'tokens.jsonl'],
    [evaluation, 'eval_tokens.jsonl'],
  ] as const) {
    if (existsSync(`${rowFolder}/${name}`)) {
      const worst = differing(pairs, jsonLines(`${rowFolder}/${name}`));
      report({ what: `${name}: rows that differ`, worst, limit: 0 });
    }
  }
  const recorded = JSON.parse(readFileSync(`${folder}/batches.json`, 'utf8'));
  const steps = planBatches(train.length, hparams);
  const order = steps.filter((step, i) => String(step.micro) !== String(recorded.steps[i]?.micro)).length;
  report({
    what: 'batches.json: steps that differ',
    worst: order + Math.abs(steps.length - recorded.steps.length),
    limit: 0,
  });

  const gpu = await openTierGpu(tier);
  const tolerances = tolerancesIn(gpu.profile, about.tolerances);
  const model = await loadModel(gpu, files, undefined, { quantize: quantizeOptions(nf4) });
  const plan = planTraining(model.config, gpu.device.limits, gpu.profile, hparams, train, evaluation);
  const session = await Session.create(model, plan.lora, plan.capacity, hparams);
  const initFolder = about.init ? `${folder}/../${about.init}` : folder;
  const init = await adapterFile(initFolder, 'init.safetensors');
  uploadAdapter(session, init);
  if (existsSync(`${folder}/grads_step1.safetensors`)) {
    const worst = await worstGradient(session, plan, await adapterFile(folder, 'grads_step1.safetensors'));
    report({ what: 'step 1 gradients, worst tensor (relative L2)', worst, limit: tolerances.gradients ?? null });
    uploadAdapter(session, init);
  }
  const trainer = new Trainer(session, plan, {
    onStep: (record) =>
      process.stderr.write(`\r  step ${record.step} of ${steps.length}  loss ${record.loss.toFixed(4)} `),
  });
  const finished = await trainer.run({ maxSteps });
  process.stderr.write('\r\x1b[K');
  compareLogs(trainer, folder, tolerances, report);
  if (finished && existsSync(`${folder}/adapter_model.safetensors`)) {
    const final = await adapterFile(folder, 'adapter_model.safetensors');
    const worst = updateDistance(await downloadAdapter(session), final, init);
    report({ what: 'adapter update (relative L2)', worst, limit: tolerances.adapterUpdate ?? null });
  }
  session.destroy();
}

async function worstGradient(session: Session, plan: TrainingPlan, recorded: Tensors): Promise<number> {
  const { hparams, steps, train, budget } = plan;
  const tile = session.model.gpu.profile.attentionTile;
  for (const [i, pass] of splitPasses(steps[0].micro, train, hparams.beta, budget).entries()) {
    const pack = packPairs(
      pass.map(({ row, scales }) => ({ ...train[row], scales })),
      hparams.nll_on_prompt,
      tile,
    );
    await session.upload(pack);
    await session.forward(pack);
    await session.backward(pack, i > 0);
  }
  const ours = await downloadAdapter(session, 'grad');
  let worst = 0;
  for (const [name, { values }] of recorded) {
    const mine = ours.get(name)!.values;
    const distance = norm(values.map((v, i) => mine[i] - v));
    const size = norm(values);
    worst = Math.max(worst, size > 0 ? distance / size : distance);
  }
  return worst;
}

function updateDistance(ours: Tensors, theirs: Tensors, init: Tensors): number {
  let distance = 0;
  let size = 0;
  for (const [name, { values }] of theirs) {
    const mine = ours.get(name)!.values;
    const start = init.get(name)!.values;
    for (let i = 0; i < values.length; i++) {
      distance += (mine[i] - values[i]) ** 2;
      size += (values[i] - start[i]) ** 2;
    }
  }
  return Math.sqrt(distance / size);
}

/** Metrics that depend on TRL's padding (spec, trap 6), and a count that jumps when a margin is nearly zero. */
const UNJUDGED = /logits\/|accuracies|log_odds/;

function compareLogs(
  trainer: Trainer,
  folder: string,
  tolerances: GoldenAbout['tolerances'],
  report: GoldenRun['report'],
): void {
  const log = jsonLines(`${folder}/log.jsonl`).slice(0, trainer.log.length);
  for (const key of ['loss', 'nll_loss', 'logps/chosen', 'logps/rejected'] as const) {
    report({
      what: `step 1 ${key} (relative)`,
      worst: relative(trainer.log[0][key], log[0][key]),
      limit: tolerances.firstLoss ?? null,
    });
  }
  for (const key of Object.keys(trainer.log[0]) as (keyof (typeof trainer.log)[0])[]) {
    if (key === 'step') continue;
    const isLoss = key === 'loss' || key === 'nll_loss';
    const isRate = key === 'learning_rate' || key === 'epoch';
    const measure = isLoss ? relative : (a: number, b: number) => Math.abs(a - b);
    const worst = Math.max(...log.map((theirs, i) => measure(trainer.log[i][key], theirs[key])));
    const limit = isLoss ? tolerances.loss : isRate ? 1e-9 : key.startsWith('rewards/') ? tolerances.margins : null;
    report({
      what: `all ${log.length} steps ${key} (${isLoss ? 'relative' : 'absolute'})`,
      worst,
      limit: UNJUDGED.test(key) ? null : (limit ?? null),
    });
  }
  const evals = jsonLines(`${folder}/eval.jsonl`);
  trainer.evalLog.forEach((record, i) => {
    const compare = (what: string, worst: number, limit: number | undefined) =>
      report({ what: `${what} after step ${record.step}`, worst, limit: limit ?? null });
    const off = (key: 'eval_rewards/margins' | 'eval_rewards/accuracies') => Math.abs(record[key] - evals[i][key]);
    compare(
      'eval_loss (relative)',
      relative(record.eval_loss, evals[i].eval_loss),
      tolerances.evalLoss ?? tolerances.loss,
    );
    compare('eval_rewards/margins', off('eval_rewards/margins'), tolerances.margins);
    compare('eval_rewards/accuracies', off('eval_rewards/accuracies'), tolerances.evalAccuracy);
  });
}
