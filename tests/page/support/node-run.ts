/** The page's run once more, by the same engine under Node, and evaluations of what the page wrote. */
import { readFile } from 'node:fs/promises';
import { dawn } from '../../../src/cli/dawn';
import { loadTokenizer } from '../../../src/data/tokenizer';
import type { TokenizedPair } from '../../../src/data/types';
import type { ModelFiles } from '../../../src/formats/bytes';
import { memoryFiles } from '../../../src/formats/bytes';
import type { AdapterTensor } from '../../../src/formats/peft';
import { type Gpu, openGpu } from '../../../src/gpu/device';
import { downloadAdapter, initialAdapter, uploadAdapter } from '../../../src/model/adapter';
import { loadModel } from '../../../src/model/load';
import { Session } from '../../../src/model/session';
import type { HParams } from '../../../src/train/hparams';
import type { EvalRecord, StepRecord } from '../../../src/train/records';
import { planTraining, type TrainingPlan } from '../../../src/train/run-plan';
import { Trainer } from '../../../src/train/trainer';
import { Dataset } from '../../../src/worker/dataset';
import { repositoryPath } from '../../support/files';

const MODEL = 'stories-260k';

export async function baseFiles(): Promise<ModelFiles> {
  const folder = repositoryPath(`public/models/${MODEL}`);
  const { files } = JSON.parse(await readFile(`${folder}/manifest.json`, 'utf8')) as { files: { name: string }[] };
  const contents = await Promise.all(
    files.map(async ({ name }) => [name, await readFile(`${folder}/${name}`)] as const),
  );
  return memoryFiles(Object.fromEntries(contents));
}

export interface SameRun {
  files: ModelFiles;
  /** The dropped file. */
  rows: string;
  evalFraction: number;
  hparams: HParams;
  /** The adapter it starts from, where that is not a fresh one. */
  start?: ReadonlyMap<string, AdapterTensor>;
}

let gpu: Promise<Gpu> | undefined;

async function prepare({
  files,
  rows,
  evalFraction,
  hparams,
}: SameRun): Promise<{ session: Session; plan: TrainingPlan }> {
  gpu ??= dawn({ software: true }).then(openGpu);
  const data = new Dataset();
  await data.load('train', new Blob([rows]), 'pairs.jsonl', evalFraction, () => {});
  const sets = await data.tokens(await loadTokenizer(files), MODEL, hparams);
  const pairs = (role: 'train' | 'eval'): TokenizedPair[] => sets[role].pairs;
  const model = await loadModel(await gpu, files);
  const { device, profile } = model.gpu;
  const plan = planTraining(model.config, device.limits, profile, hparams, pairs('train'), pairs('eval'));
  return { session: await Session.create(model, plan.lora, plan.capacity, hparams), plan };
}

export interface NodeRun {
  steps: StepRecord[];
  evals: EvalRecord[];
  adapter: Map<string, AdapterTensor>;
}

export async function trainInNode(run: SameRun, maxSteps?: number): Promise<NodeRun> {
  const { session, plan } = await prepare(run);
  uploadAdapter(session, run.start ?? initialAdapter(plan.lora, run.hparams.init_seed));
  const trainer = new Trainer(session, plan);
  await trainer.run({ maxSteps });
  return { steps: trainer.log, evals: trainer.evalLog, adapter: await downloadAdapter(session) };
}

/** Loss over the held-out pairs with an adapter, or without one (B is zero then). */
export async function evaluateInNode(run: SameRun, adapter?: ReadonlyMap<string, AdapterTensor>): Promise<EvalRecord> {
  const { session, plan } = await prepare(run);
  uploadAdapter(session, adapter ?? initialAdapter(plan.lora, run.hparams.init_seed));
  return new Trainer(session, plan).evaluate();
}
