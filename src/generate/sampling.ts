/** From a row of logits to the next token, in transformers' order: temperature, then top-k, then top-p, then the draw. */
import { MersenneTwister } from '../data/random';
import { GenerationError } from './errors';

export interface SamplingOptions {
  /** 0: always the most likely token. */
  temperature: number;
  /** Only so many of the most likely tokens; 0: all. */
  topK: number;
  /** Only the most likely tokens whose probabilities reach this sum, at least one; 1: all. */
  topP: number;
  seed: number;
}

export const GREEDY: Readonly<SamplingOptions> = { temperature: 0, topK: 0, topP: 1, seed: 0 };

/** @throws GenerationError `bad-setting` */
export function checkSampling({ temperature, topK, topP }: SamplingOptions): void {
  const refuse = (message: string): never => {
    throw new GenerationError('bad-setting', message);
  };
  if (!(temperature >= 0 && temperature <= 100)) refuse('The temperature must be between 0 and 100.');
  if (!(Number.isInteger(topK) && topK >= 0)) refuse('top-k must be a whole number of at least 0 (0: all tokens).');
  if (!(topP > 0 && topP <= 1)) refuse('top-p must be above 0 and at most 1 (1: all tokens).');
}

/** Random numbers of one answer: they depend on the seed and the answer's number only, not on what runs beside it. */
export function drawer(seed: number, answer: number): () => number {
  const random = new MersenneTwister((Math.imul(seed, 0x9e3779b1) ^ Math.imul(answer + 1, 0x85ebca6b)) >>> 0);
  return () => (random.nextU32() * 2 ** 21 + (random.nextU32() >>> 11)) / 2 ** 53;
}

/** The kept tokens with their probabilities, the most likely first. */
export function candidates(
  logits: ArrayLike<number>,
  { temperature, topK, topP }: SamplingOptions,
): { ids: number[]; probabilities: number[] } {
  const all = Array.from({ length: logits.length }, (_, id) => id);
  all.sort((a, b) => logits[b] - logits[a] || a - b);
  let ids = topK > 0 ? all.slice(0, topK) : all;
  const top = logits[ids[0]];
  const weights = ids.map((id) => Math.exp((logits[id] - top) / temperature));
  const sum = weights.reduce((a, b) => a + b, 0);
  let kept = 0;
  let count = 0;
  while (count < ids.length && (count === 0 || kept < topP * sum)) kept += weights[count++];
  ids = ids.slice(0, count);
  return { ids, probabilities: weights.slice(0, count).map((w) => w / kept) };
}

/** Draws a token. `uniform` is in [0, 1). */
export function sample(logits: ArrayLike<number>, options: SamplingOptions, uniform: number): number {
  const { ids, probabilities } = candidates(logits, options);
  let left = uniform;
  for (const [i, p] of probabilities.entries()) {
    left -= p;
    if (left < 0) return ids[i];
  }
  return ids.at(-1)!;
}
