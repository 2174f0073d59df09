/** All that a run needs to go on to the same numbers, bit for bit: taken from a trainer between two steps, put into another. */
import type { AdapterTensor } from '../formats/peft';
import { bytesOf, type NamedTensor } from '../formats/tensor-file';
import { adapterSpecs, downloadAdapter, packAdapter, unpackAdapter, uploadAdapter } from '../model/adapter';
import { momentRanges } from '../model/moments';
import type { Session } from '../model/session';
import { TrainingError } from './errors';
import type { EvalRecord, SampleRecord, StepRecord } from './records';
import type { Trainer } from './trainer';

/** Which order the pairs come in and how far the run is in it; the order itself follows from these (data/sampler). */
export interface SamplerState {
  seed: number;
  shuffle: boolean;
  /** Training pairs. */
  rows: number;
  /** Optimizer steps that have taken their pairs. */
  steps: number;
}

/**
 * There are no loss scalers: everything trained is f32. AdamW's step count is the trainer's, and dropout's masks follow
 * from seed and step.
 */
export interface Checkpoint {
  /** Optimizer steps done. */
  step: number;
  adapter: Map<string, AdapterTensor>;
  /** `exp_avg.` and `exp_avg_sq.` + tensor name in f32, or `state8bit.` + tensor name as model/moments lays it out. */
  moments: NamedTensor[];
  sampler: SamplerState;
  steps: readonly StepRecord[];
  evals: readonly EvalRecord[];
  samples: readonly SampleRecord[];
}

const F32_MOMENTS = { m: 'exp_avg', v: 'exp_avg_sq' } as const;
const STATE_8BIT = 'state8bit';

function samplerState({ plan, step }: Trainer): SamplerState {
  const { seed, shuffle } = plan.hparams;
  return { seed, shuffle, rows: plan.train.length, steps: step };
}

async function readSlabs(session: Session, kind: 'm' | 'v' | 'state'): Promise<Uint8Array<ArrayBuffer>[]> {
  const slabs: Uint8Array<ArrayBuffer>[] = [];
  for (const i of session.lora.slabs.keys()) {
    const buffer = session.memory.get(`lora.${kind}.${i}`);
    slabs.push(new Uint8Array(await session.model.cmd.read({ buffer }, buffer.size)));
  }
  return slabs;
}

async function takeMoments(session: Session, eightBit: boolean): Promise<NamedTensor[]> {
  const { lora } = session;
  if (eightBit) {
    const slabs = await readSlabs(session, 'state');
    const specs = adapterSpecs(lora);
    return momentRanges(lora).map(({ tensor, begin, end }, i) => ({
      name: `${STATE_8BIT}.${specs[i].name}`,
      dtype: 'U32',
      shape: [end - begin],
      bytes: slabs[tensor.slab].slice(4 * begin, 4 * end),
    }));
  }
  const out: NamedTensor[] = [];
  for (const kind of ['m', 'v'] as const) {
    const slabs = await readSlabs(session, kind);
    const floats = slabs.map(({ buffer }, i) => new Float32Array(buffer, 0, lora.slabs[i]));
    for (const { name, shape, values } of unpackAdapter(lora, floats).values()) {
      out.push({ name: `${F32_MOMENTS[kind]}.${name}`, dtype: 'F32', shape, bytes: bytesOf(values) });
    }
  }
  return out;
}

/** Takes a checkpoint. No step may be in work. Rejects when the GPU is gone. */
export async function takeCheckpoint(trainer: Trainer): Promise<Checkpoint> {
  const { session, plan, step, log, evalLog, sampleLog } = trainer;
  const adapter = await downloadAdapter(session);
  const moments = await takeMoments(session, plan.hparams.optim === 'adamw_8bit');
  const logs = { steps: [...log], evals: [...evalLog], samples: [...sampleLog] };
  return { step, adapter, moments, sampler: samplerState(trainer), ...logs };
}

const misfit = (what: string) =>
  new TrainingError(
    'bad-checkpoint',
    `The checkpoint does not fit this run: ${what}. Use it with the settings, the model and the pairs it was made with.`,
  );

function putMoments(session: Session, moments: readonly NamedTensor[], eightBit: boolean): void {
  const { lora, memory, model } = session;
  const byName = new Map(moments.map((tensor) => [tensor.name, tensor]));
  const find = (name: string): NamedTensor => {
    const found = byName.get(name);
    if (!found) throw misfit(`it has no ${name}`);
    return found;
  };
  if (eightBit) {
    const specs = adapterSpecs(lora);
    momentRanges(lora).forEach(({ tensor, begin, end }, i) => {
      const { bytes } = find(`${STATE_8BIT}.${specs[i].name}`);
      if (bytes.byteLength !== 4 * (end - begin)) throw misfit(`its states of ${specs[i].name} have another size`);
      model.cmd.upload({ buffer: memory.get(`lora.state.${tensor.slab}`), offset: 4 * begin }, bytes);
    });
    return;
  }
  for (const kind of ['m', 'v'] as const) {
    const tensors = adapterSpecs(lora).map(({ name }): [string, AdapterTensor] => {
      const { shape, bytes } = find(`${F32_MOMENTS[kind]}.${name}`);
      return [name, { name, shape, values: new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4) }];
    });
    packAdapter(lora, new Map(tensors)).forEach((values, i) => {
      model.cmd.upload({ buffer: memory.get(`lora.${kind}.${i}`) }, values);
    });
  }
}

/**
 * Makes a trainer go on from a checkpoint of the same run.
 * @throws TrainingError `bad-checkpoint`, or AdapterError, when it is of another run
 */
export function putCheckpoint(trainer: Trainer, checkpoint: Checkpoint): void {
  const { session, plan } = trainer;
  const { sampler, steps, evals, samples, step } = checkpoint;
  const { seed, shuffle, rows } = samplerState(trainer);
  if (sampler.rows !== rows) throw misfit(`it was made over ${sampler.rows} pairs, not ${rows}`);
  if (sampler.seed !== seed || sampler.shuffle !== shuffle) throw misfit('its pairs come in another order');
  if (step > plan.steps.length || step !== (steps.at(-1)?.step ?? 0) || step !== sampler.steps) {
    throw misfit(`it is of step ${step}, its log ends with step ${steps.at(-1)?.step ?? 0}`);
  }
  uploadAdapter(session, checkpoint.adapter);
  putMoments(session, checkpoint.moments, plan.hparams.optim === 'adamw_8bit');
  trainer.resume(steps, evals, samples);
}
