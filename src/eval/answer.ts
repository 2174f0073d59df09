/** Tasks whose answer must be produced: greedy generation up to a stop text, then exact match. */
import type { Tokenizer } from '../data/tokenizer';
import { answerText } from '../generate/answer-text';
import { generate, planGeneration } from '../generate/generate';
import { type AdapterSource, InferenceSession } from '../inference/session';
import type { LoadedModel } from '../model/session';
import type { EvalControl } from './control';
import { begun } from './encode';
import type { AnswerItem } from './items';

/** lm-evaluation-harness' default for generate_until. */
export const MAX_ANSWER_TOKENS = 256;

export interface AnswerOptions {
  sides: readonly boolean[];
  maxLength: number;
  stopIds: readonly number[];
  control?: EvalControl;
  /** Answers that are complete, of `items.length` times the number of sides. */
  onProgress?(done: number): void;
}

export interface ProducedAnswers {
  /** [side][item] */
  texts: string[][];
  /** Prompts that were cut on the left. */
  cut: number;
}

/** The text before the first stop text, without blanks around it. */
export function trimAnswer(text: string, until: readonly string[]): string {
  const ends = until.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  return text.slice(0, Math.min(text.length, ...ends)).trim();
}

/** True when nothing that follows can make the answer equal to the target, or its end is reached. */
export function isDecided(text: string, { target, until }: Pick<AnswerItem, 'target' | 'until'>): boolean {
  if (until.some((stop) => text.includes(stop))) return true;
  // A stop text may have begun in the last characters; they are then no part of the answer.
  const begun = until.map((stop) => {
    let length = stop.length - 1;
    while (length > 0 && !text.endsWith(stop.slice(0, length))) length -= 1;
    return length;
  });
  const sure = text.slice(0, text.length - Math.max(0, ...begun)).trim();
  return !target.trim().startsWith(sure);
}

export async function produceAnswers(
  model: LoadedModel,
  adapter: AdapterSource | null,
  tokenizer: Tokenizer,
  items: readonly AnswerItem[],
  options: AnswerOptions,
): Promise<ProducedAnswers> {
  const { sides, maxLength, stopIds, control } = options;
  const most = Math.min(MAX_ANSWER_TOKENS, Math.floor(maxLength / 2));
  let cut = 0;
  const prompts = items.map(({ prompt }) => {
    const ids = begun(tokenizer, tokenizer.encode(prompt));
    if (ids.length > maxLength - most) cut++;
    return ids.slice(-(maxLength - most));
  });
  const { gpu, config } = model;
  const lengths = prompts.map(({ length }) => length);
  const capacity = planGeneration(config, gpu.device.limits, gpu.profile.attentionTile, lengths, most);
  const session = await InferenceSession.create(model, capacity, adapter);
  const texts: string[][] = [];
  let done = 0;
  const textOf = (ids: readonly number[]) => answerText(tokenizer, ids, stopIds);
  try {
    for (const side of sides) {
      session.adapterOn = side;
      const answers = await generate(session, prompts, {
        maxNewTokens: most,
        stopIds,
        pass: () => control?.pass() ?? Promise.resolve(),
        ends: (prompt, ids) => isDecided(textOf(ids), items[prompt]),
        onAnswer: () => options.onProgress?.(++done),
      });
      texts.push(answers.map(({ ids }, i) => trimAnswer(textOf(ids), items[i].until)));
    }
  } finally {
    session.destroy();
  }
  return { texts, cut };
}
