/**
 * Generation with a cache of keys and values. Prompts are read in packed passes; then every sequence in work grows by a
 * token a step. A sequence that ends makes room for the next prompt.
 */
import { totalBytes } from '../gpu/memory';
import { branchGroup, packBranches } from '../inference/packing';
import { cachedSequences, type InferenceCapacity, inferenceSpecs, MOST_STEPS, noLora } from '../inference/plan';
import { type AdapterSource, type CachedTokens, InferenceSession } from '../inference/session';
import type { LlamaConfig } from '../model/config';
import type { DeviceLimits } from '../model/plan';
import type { LoadedModel } from '../model/session';
import { GenerationError } from './errors';
import { checkSampling, drawer, GREEDY, type SamplingOptions, sample } from './sampling';

export interface GenerateOptions extends Partial<SamplingOptions> {
  maxNewTokens: number;
  /** An answer ends with the first of these, which is its last token. */
  stopIds?: readonly number[];
  /** Asked after every token; true ends the answer, as a stop token does. */
  ends?(prompt: number, ids: readonly number[]): boolean;
  /** Aborting rejects with `cancelled`. */
  signal?: AbortSignal;
  /** Awaited before every pass, to pause or, by rejecting, to end it. */
  pass?(): Promise<void>;
  /** Called when an answer is complete. */
  onAnswer?(prompt: number): void;
  /** Called for every new token in order; answers of several prompts interleave. */
  onToken?(token: { prompt: number; id: number }): void;
}

export interface Answer {
  ids: number[];
  /** `stop`: ended by a stop token; `length`: by maxNewTokens. */
  finish: 'stop' | 'length';
  /** Of each step the distance between the two best logits; only of greedy answers, otherwise empty. */
  margins: number[];
}

/** Most tokens that one pass over prompts takes, unless a single prompt is longer. */
const PREFILL_TOKENS = 2048;
/** Sequences that grow side by side. */
const MOST_SEQUENCES = 16;
/** Bytes that caches may take unless more is allowed. */
const CACHE_ROOM = 2 ** 30;
/** Greedy steps go on without readback for about so long. */
const CHUNK_MS = 40;

/**
 * Sizes of a session that answers these prompts.
 * @throws GenerationError `too-long` when a prompt and its answer exceed what the model can read, `no-room` when the
 *   cache of a single sequence exceeds the device or `cacheRoom` bytes, `no-prompt`
 */
export function planGeneration(
  config: LlamaConfig,
  limits: DeviceLimits,
  tile: number,
  promptLengths: readonly number[],
  maxNewTokens: number,
  cacheRoom = CACHE_ROOM,
): InferenceCapacity {
  if (!(Number.isInteger(maxNewTokens) && maxNewTokens >= 1)) {
    throw new GenerationError('bad-setting', 'The most new tokens must be a whole number of at least 1.');
  }
  if (promptLengths.length === 0 || promptLengths.some((n) => n === 0)) {
    throw new GenerationError('no-prompt', 'There is no prompt to answer. Write one first.');
  }
  const longest = Math.max(...promptLengths);
  const positions = longest + maxNewTokens;
  if (positions > config.maxPositions) {
    throw new GenerationError(
      'too-long',
      `The longest prompt has ${longest} tokens and may get ${maxNewTokens} more; this model reads ${config.maxPositions}. ` +
        'Shorten the prompt or ask for fewer new tokens.',
    );
  }
  const sequences = cachedSequences(
    config,
    limits,
    positions,
    Math.min(promptLengths.length, MOST_SEQUENCES),
    cacheRoom,
  );
  if (sequences === 0) {
    const one = { tokens: 1, tiles: 1, positions, rows: 0, entries: 0, sequences: 1 };
    const cache = inferenceSpecs(config, noLora(config), one, false).filter(({ group }) => group === 'cache');
    const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
    const binding = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
    throw new GenerationError(
      'no-room',
      `The keys and values of ${positions} tokens need ${mib(totalBytes(cache))} MiB, ${mib(cache[0].bytes)} MiB in one ` +
        `buffer; ${mib(cacheRoom)} MiB are free for them, and this GPU allows ${mib(binding)} MiB in one buffer. ` +
        'Shorten the prompt or ask for fewer new tokens.',
    );
  }
  const together = [...promptLengths].sort((a, b) => b - a).slice(0, sequences);
  const all = together.reduce((a, b) => a + b, 0);
  const tokens = Math.max(longest, Math.min(all, PREFILL_TOKENS), sequences);
  return { tokens, tiles: Math.ceil(tokens / tile) + sequences, positions, rows: 0, entries: 0, sequences };
}

/** A sequence in work. */
interface Growing {
  prompt: number;
  slot: number;
  /** Tokens in the cache; the newest one is not yet there. */
  length: number;
  answer: Answer;
  draw: () => number;
}

class Generation {
  readonly #session: InferenceSession;
  readonly #prompts: readonly (readonly number[])[];
  readonly #options: GenerateOptions;
  readonly #sampling: SamplingOptions;
  readonly #answers: Answer[];
  readonly #free: number[];
  #next = 0;
  #growing: Growing[] = [];
  /** Greedy steps of the next chunk. */
  #steps = 1;

  constructor(session: InferenceSession, prompts: readonly (readonly number[])[], options: GenerateOptions) {
    this.#session = session;
    this.#prompts = prompts;
    this.#options = options;
    this.#sampling = { ...GREEDY, ...withoutUndefined(options) };
    checkSampling(this.#sampling);
    this.#answers = prompts.map(() => ({ ids: [], finish: 'length', margins: [] }));
    this.#free = Array.from({ length: session.capacity.sequences }, (_, i) => i);
  }

  async run(): Promise<Answer[]> {
    while (this.#growing.length || this.#next < this.#prompts.length) {
      this.#checkSignal();
      await this.#options.pass?.();
      if (this.#free.length && this.#next < this.#prompts.length) await this.#readPrompts();
      else await this.#grow();
    }
    return this.#answers;
  }

  get #greedy(): boolean {
    return this.#sampling.temperature === 0;
  }

  #checkSignal(): void {
    if (this.#options.signal?.aborted) throw new GenerationError('cancelled', 'Generation was cancelled.');
  }

  /** Prompts that fit one pass and the free slots, and the first token of each answer. */
  async #readPrompts(): Promise<void> {
    const { capacity, model } = this.#session;
    const tile = model.gpu.profile.attentionTile;
    const taken: Growing[] = [];
    let tokens = 0;
    while (this.#free.length && this.#next < this.#prompts.length) {
      const { length } = this.#prompts[this.#next];
      if (taken.length && tokens + length > capacity.tokens) break;
      tokens += length;
      const prompt = this.#next++;
      const draw = drawer(this.#sampling.seed, prompt);
      taken.push({ prompt, slot: this.#free.shift()!, length, answer: this.#answers[prompt], draw });
    }
    const groups = taken.map(({ prompt }) => {
      const ids = this.#prompts[prompt];
      return branchGroup([{ ids, scoredFrom: ids.length }], tile);
    });
    const pack = packBranches(groups, tile);
    const cacheRows = new Uint32Array(pack.tokens);
    const last = new Uint32Array(taken.length);
    let at = 0;
    taken.forEach(({ slot, length }, i) => {
      for (let t = 0; t < length; t++) cacheRows[at++] = slot * capacity.positions + t;
      last[i] = at - 1;
    });
    await this.#session.prefill({ ...pack, cacheRows }, last);
    await this.#take(taken, 1);
    this.#growing.push(...taken.filter((g) => !this.#ended(g)));
  }

  /** One step of all sequences in work, or several where tokens need not be seen in between. */
  async #grow(): Promise<void> {
    const active = this.#growing;
    const left = Math.min(...active.map(({ answer }) => this.#options.maxNewTokens - answer.ids.length));
    const steps = this.#greedy && this.#session.canChain ? Math.min(this.#steps, left, MOST_STEPS) : 1;
    const started = performance.now();
    for (let s = 0; s < steps; s++) {
      await this.#session.decode(this.#stepTokens(active, s), s > 0);
      if (this.#greedy) this.#session.pick(active.length, s * active.length);
    }
    for (const g of active) g.length += steps;
    await this.#take(active, steps, true);
    const perStep = (performance.now() - started) / steps;
    this.#steps = Math.max(1, Math.min(2 * this.#steps, Math.floor(CHUNK_MS / perStep)));
    this.#growing = active.filter((g) => !this.#ended(g));
  }

  #stepTokens(active: readonly Growing[], ahead: number): CachedTokens {
    const { positions } = this.#session.capacity;
    return {
      ids: Uint32Array.from(active, ({ answer }) => answer.ids.at(-1)!),
      positions: Uint32Array.from(active, ({ length }) => length + ahead),
      cacheRows: Uint32Array.from(active, ({ slot, length }) => slot * positions + length + ahead),
    };
  }

  /** Reads what the last passes chose (or chooses from their logits) and appends it to the answers. */
  async #take(sequences: readonly Growing[], steps: number, picked = false): Promise<void> {
    if (!this.#greedy) {
      const logits = await this.#session.readLogits(sequences.length);
      sequences.forEach((g, i) => {
        this.#append(g, sample(logits[i], this.#sampling, g.draw()));
      });
      return;
    }
    if (!picked) this.#session.pick(sequences.length, 0);
    const picks = await this.#session.readPicks(steps * sequences.length);
    for (let s = 0; s < steps; s++) {
      sequences.forEach((g, i) => {
        const { id, logit, runnerUp } = picks[s * sequences.length + i];
        if (this.#append(g, id)) g.answer.margins.push(logit - runnerUp);
      });
    }
  }

  /** False when the answer had ended before. */
  #append(g: Growing, id: number): boolean {
    const { stopIds = [], maxNewTokens, onToken, ends } = this.#options;
    const { answer } = g;
    if (answer.finish === 'stop' || answer.ids.length >= maxNewTokens) return false;
    answer.ids.push(id);
    if (stopIds.includes(id) || ends?.(g.prompt, answer.ids)) answer.finish = 'stop';
    onToken?.({ prompt: g.prompt, id });
    return true;
  }

  /** True when the answer is complete; its slot is then free. */
  #ended({ answer, slot, prompt }: Growing): boolean {
    const ended = answer.finish === 'stop' || answer.ids.length >= this.#options.maxNewTokens;
    if (ended) {
      this.#free.push(slot);
      this.#options.onAnswer?.(prompt);
    }
    return ended;
  }
}

const withoutUndefined = ({ temperature, topK, topP, seed }: Partial<SamplingOptions>): Partial<SamplingOptions> =>
  Object.fromEntries(Object.entries({ temperature, topK, topP, seed }).filter(([, value]) => value !== undefined));

/**
 * Answers to prompts (token ids), in a session made for them with `planGeneration`. The session's adapter is used when
 * its `adapterOn` is set.
 * @throws GenerationError `cancelled`, `bad-setting`
 */
export function generate(
  session: InferenceSession,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): Promise<Answer[]> {
  return new Generation(session, prompts, options).run();
}

/** Plans and opens a session for these prompts, answers them, and frees it again. */
export async function generateOnce(
  model: LoadedModel,
  adapter: AdapterSource | null,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): Promise<Answer[]> {
  const { gpu, config } = model;
  const lengths = prompts.map(({ length }) => length);
  const capacity = planGeneration(config, gpu.device.limits, gpu.profile.attentionTile, lengths, options.maxNewTokens);
  const session = await InferenceSession.create(model, capacity, adapter);
  try {
    return await generate(session, prompts, options);
  } finally {
    session.destroy();
  }
}
