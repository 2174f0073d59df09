/** The requests about answers: one order at a time, with the base model and the adapter of the run at hand. */
import { type RenderSettings, renderTurns } from '../data/render';
import { promptIds, resolveTokenIds } from '../data/tokenize';
import { ChatTemplateError, type Tokenizer } from '../data/tokenizer';
import { answerText } from '../generate/answer-text';
import { GenerationError } from '../generate/errors';
import { generate, planGeneration } from '../generate/generate';
import type { Gpu } from '../gpu/device';
import { type AdapterSource, InferenceSession } from '../inference/session';
import type { OpenModel } from '../model/load';
import { parseHParams } from '../train/parse-hparams';
import type { Dataset } from './dataset';
import { explainLoss } from './device-loss';
import { StateError } from './errors';
import type { GpuTurn } from './gpu-turn';
import { renderSettings } from './prompt-choice';
import { answerStops, promptsOf } from './prompts';
import type { Settings, WorkerEvent } from './protocol';
import type { ChatAnswer, ChatOrder, ChatPrompt, ChatRequests, ChatSampling } from './protocol-chat';

export interface ChatHost {
  /** @throws StateError `no-model` */
  model(): { open: OpenModel; tokenizer: Tokenizer };
  data(): Dataset;
  /** What `tuned` is; null when nothing is trained. */
  adapter(): { source: AdapterSource } | null;
  /** Whether a run is paused, which lends its adapter and the GPU. */
  isPaused(): boolean;
  turn: GpuTurn;
  /** The device in use; null once it is lost. */
  gpu(): Gpu | null;
  emit(event: WorkerEvent): void;
}

type Requests = Omit<ChatRequests, 'vote'>;
type Handlers = { [K in keyof Requests]: (args: Requests[K]['args']) => Promise<Requests[K]['result']> };

/** Milliseconds between two words on an answer in work. */
const TELL_MS = 50;

export class ChatDesk {
  readonly #host: ChatHost;

  constructor(host: ChatHost) {
    this.#host = host;
  }

  readonly handlers: Handlers = {
    chat: (order) => this.#begin(order),
    stopChat: async () => {
      await this.#host.turn.reclaim();
      return null;
    },
    heldOutPrompts: async ({ settings, count }) => this.#heldOut(settings, count),
  };

  async #begin(order: ChatOrder): Promise<ChatAnswer[]> {
    const { open, tokenizer } = this.#host.model();
    const adapter = this.#host.adapter();
    return this.#host.turn.borrow(this.#host.isPaused(), async (signal) => {
      if (!adapter && order.answers.some(({ side }) => side === 'tuned')) {
        throw new StateError('no-adapter', 'There is no tuned model yet. Train one, or open a run that is kept.');
      }
      try {
        return await this.#answer(order, open, tokenizer, adapter?.source ?? null, signal);
      } catch (cause) {
        if (cause instanceof GenerationError || cause instanceof ChatTemplateError) throw cause;
        const message = 'The GPU was lost while an answer was written. Load the model again, and ask once more.';
        throw await explainLoss(cause, open.gpu, this.#host.gpu() !== null, message);
      }
    });
  }

  async #answer(
    { answers, sampling, format, tokens }: ChatOrder,
    open: OpenModel,
    tokenizer: Tokenizer,
    adapter: AdapterSource | null,
    signal: AbortSignal,
  ): Promise<ChatAnswer[]> {
    const settings = renderSettings(format, tokenizer, this.#host.data().rows.train);
    const stopIds = await answerStops(open, tokenizer, tokens, settings.format);
    const { bos } = resolveTokenIds(tokens, tokenizer);
    const prompts = answers.map(({ prompt }) => promptIds(tokenizer, textOf(prompt, settings, tokenizer), bos));
    const { gpu, config } = open;
    const longest = Math.max(...prompts.map(({ length }) => length));
    const tile = gpu.profile.attentionTile;
    const capacity = planGeneration(config, gpu.device.limits, tile, [longest], sampling.max_new_tokens);
    const session = await InferenceSession.create(open, capacity, adapter);
    const done: ChatAnswer[] = [];
    try {
      session.refreshAdapter();
      for (const [index, { side }] of answers.entries()) {
        session.adapterOn = side === 'tuned';
        const written = await this.#write(session, prompts[index], { sampling, stopIds, signal, tokenizer, index });
        done.push({ side, ...written });
        if (signal.aborted) break;
      }
      return done;
    } finally {
      session.destroy();
    }
  }

  async #write(session: InferenceSession, prompt: number[], how: Writing): Promise<Omit<ChatAnswer, 'side'>> {
    const { sampling, stopIds, signal, tokenizer, index } = how;
    const ids: number[] = [];
    let [first, last, told] = [0, 0, 0];
    const tell = () => {
      told = performance.now();
      const text = answerText(tokenizer, ids, stopIds);
      this.#host.emit({ event: 'answering', index, text, tokens: ids.length });
    };
    const onToken = ({ id }: { id: number }) => {
      ids.push(id);
      last = performance.now();
      if (ids.length === 1) first = last;
      if (last - told > TELL_MS) tell();
    };
    let finish: ChatAnswer['finish'] = 'stopped';
    try {
      const [answer] = await generate(session, [prompt], {
        ...{ maxNewTokens: sampling.max_new_tokens, stopIds, signal, onToken },
        ...{ temperature: sampling.temperature, topP: sampling.top_p, seed: sampling.seed },
      });
      finish = answer.finish;
      tell();
    } catch (error) {
      if (!(error instanceof GenerationError && error.code === 'cancelled')) throw error;
    }
    const seconds = (last - first) / 1000;
    return {
      text: answerText(tokenizer, ids, stopIds),
      ids,
      promptTokens: prompt.length,
      finish,
      tokensPerSecond: ids.length > 1 && seconds > 0 ? (ids.length - 1) / seconds : null,
    };
  }

  #heldOut(settings: Settings, count: number): ChatRequests['heldOutPrompts']['result'] {
    const { tokenizer } = this.#host.model();
    const data = this.#host.data();
    if (data.isEmpty) return { from: 'held-out', prompts: [] };
    const { seed } = parseHParams(settings.hparams).hparams;
    data.setSplit({ fraction: settings.evalFraction, by: settings.splitBy ?? 'prompt', seed });
    const { train, eval: held } = data.rows;
    const format = renderSettings(settings.prompt, tokenizer, train);
    const from = held.length > 0 ? 'held-out' : 'training';
    return { from, prompts: promptsOf(held.length > 0 ? held : train, format, tokenizer, count) };
  }
}

interface Writing {
  sampling: ChatSampling;
  stopIds: number[];
  signal: AbortSignal;
  tokenizer: Tokenizer;
  index: number;
}

const textOf = (prompt: ChatPrompt, settings: RenderSettings, tokenizer: Tokenizer): string =>
  'rendered' in prompt ? prompt.rendered : renderTurns(prompt.turns, settings, tokenizer);
