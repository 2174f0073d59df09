/** Answers to a few chosen prompts in the middle of a run, with the adapter as it is on the GPU. */
import { sampleSteps } from '../data/sampler';
import type { Tokenizer } from '../data/tokenizer';
import type { BufferSpec } from '../gpu/memory';
import { type InferenceCapacity, inferenceSpecs } from '../inference/plan';
import { InferenceSession } from '../inference/session';
import type { LlamaConfig } from '../model/config';
import type { LoraLayout } from '../model/lora';
import type { DeviceLimits } from '../model/plan';
import type { Session } from '../model/session';
import type { SampleAnswer, SampleRecord } from '../train/records';
import type { SampleSettings } from '../train/sample-settings';
import { answerText } from './answer-text';
import { type Answer, generate, planGeneration } from './generate';

/** Bytes that caches may take beside a run; with less room than all prompts want, they are answered one after the other. */
const CACHE_ROOM = 2 ** 29;

export interface SamplePrompt {
  /** As it is shown. */
  text: string;
  ids: number[];
}

export interface SamplePlan {
  settings: SampleSettings;
  /** Steps between answers. */
  every: number;
  prompts: SamplePrompt[];
  stopIds: number[];
  capacity: InferenceCapacity;
  /** Every buffer that the answers need beside those of the run; they are kept for as long as it lasts. */
  buffers: BufferSpec[];
}

/**
 * @param tile tokens of an attention tile on the device
 * @returns null when nothing is to be asked
 * @throws GenerationError `too-long` or `no-room`
 */
export function planSamples(
  config: LlamaConfig,
  limits: DeviceLimits,
  tile: number,
  lora: LoraLayout,
  totalSteps: number,
  settings: SampleSettings,
  prompts: SamplePrompt[],
  stopIds: number[],
): SamplePlan | null {
  const every = sampleSteps(totalSteps, settings);
  if (every === 0 || prompts.length === 0) return null;
  const lengths = prompts.map(({ ids }) => ids.length);
  const capacity = planGeneration(config, limits, tile, lengths, settings.max_new_tokens, CACHE_ROOM);
  const buffers = inferenceSpecs(config, lora, capacity, false).map((spec) => ({
    ...spec,
    name: `samples.${spec.name}`,
  }));
  return { settings, every, prompts, stopIds, capacity, buffers };
}

/**
 * A session that reads the adapter of a training session where it lies. Of the run's buffers it writes none but DoRA's
 * factors, which every pass of the run takes anew.
 */
export class RunSamples {
  readonly #session: InferenceSession;
  readonly #plan: SamplePlan;
  readonly #tokenizer: Pick<Tokenizer, 'decode'>;

  private constructor(session: InferenceSession, plan: SamplePlan, tokenizer: Pick<Tokenizer, 'decode'>) {
    this.#session = session;
    this.#plan = plan;
    this.#tokenizer = tokenizer;
  }

  /** Allocates the plan's buffers. Throws GpuError `out-of-memory` or `limits`. */
  static async create(training: Session, plan: SamplePlan, tokenizer: Pick<Tokenizer, 'decode'>): Promise<RunSamples> {
    const adapter = { layout: training.lora, slabs: training.memory };
    return new RunSamples(await InferenceSession.create(training.model, plan.capacity, adapter), plan, tokenizer);
  }

  /** Greedy and sampled answers to every prompt. No step may be in work. */
  async take(): Promise<Omit<SampleRecord, 'step'>> {
    const { settings, prompts, stopIds } = this.#plan;
    const { max_new_tokens: maxNewTokens, temperature, top_p: topP, seed } = settings;
    this.#session.refreshAdapter();
    const ids = prompts.map((prompt) => prompt.ids);
    const greedy = await generate(this.#session, ids, { maxNewTokens, stopIds });
    const sampled = await generate(this.#session, ids, { maxNewTokens, stopIds, temperature, topP, seed });
    const shown = (answer: Answer): SampleAnswer => ({
      text: answerText(this.#tokenizer, answer.ids, stopIds),
      tokens: answer.ids.length,
      ended: answer.finish === 'stop',
    });
    const answers = prompts.map(({ text }, i) => ({
      prompt: text,
      greedy: shown(greedy[i]),
      sampled: shown(sampled[i]),
    }));
    return { answers };
  }

  destroy(): void {
    this.#session.destroy();
  }
}
