/**
 * Multiple choice by log-likelihood: a context once with all its continuations in one packed pass, against packs that
 * repeat it, and against one sequence at a time. The items are real; the model is the built-in one and, on a GPU, random
 * weights of Llama-3.2-1B's shape.
 */
import { loadTokenizer, type Tokenizer } from '../../data/tokenizer';
import { ItemEncoder } from '../../eval/encode';
import type { ChoiceItem } from '../../eval/items';
import { readTask } from '../../eval/read/task';
import { planScores, runScores, type Score, type ScoreOptions } from '../../eval/score';
import type { ModelFiles } from '../../formats/bytes';
import type { ScoredSequence } from '../../inference/packing';
import { InferenceSession } from '../../inference/session';
import { loadModel } from '../../model/load';
import { randomModel } from '../../model/random-weights';
import type { LoadedModel } from '../../model/session';
import type { Section } from '../section';
import { LLAMA_1B } from '../synthetic';

const SETS = ['arc_easy', 'openbook_qa'];

type Way = Pick<ScoreOptions, 'share' | 'budget'>;
const WAYS: Record<string, Way> = {
  shared: {},
  'packed, contexts repeated': { share: false },
  'one sequence at a time': { share: false, budget: 1 },
};

async function timed(model: LoadedModel, sets: ScoredSequence[][], way: Way) {
  const plan = planScores(model, sets, way);
  const session = await InferenceSession.create(model, plan.capacity);
  const small = planScores(model, sets.slice(0, 2), way);
  await runScores(session, small, { sides: [false] });
  const began = performance.now();
  const [scores] = await runScores(session, plan, { sides: [false] });
  const seconds = (performance.now() - began) / 1000;
  session.destroy();
  return { seconds, tokens: plan.tokens, passes: plan.batches.length, scores };
}

async function encoded(
  data: ModelFiles,
  name: string,
  tokenizer: Tokenizer,
  limit: number,
): Promise<ScoredSequence[][]> {
  const task = await readTask(await data.open(`${name}.jsonl`), { name, limit });
  const encoder = new ItemEncoder(tokenizer, 2048);
  return task.items.map((item) => encoder.choices(item as ChoiceItem).sequences);
}

/** Sequences may be computed in parts of any size: scores must not show it. */
function differences(a: readonly Score[], b: readonly Score[]): { worst: number; relative: number } {
  let [worst, relative] = [0, 0];
  for (const [i, { logprob }] of a.entries()) {
    const off = Math.abs(logprob - b[i].logprob);
    worst = Math.max(worst, off);
    relative = Math.max(relative, off / Math.abs(b[i].logprob));
  }
  return { worst, relative };
}

export const evaluation: Section = async ({ gpu, quick, folder, print, report }) => {
  const files = await folder('public/models/pocket-15m-bnb-4bit');
  const data = await folder('public/data/benchmarks');
  if (!files || !data) {
    print('eval: left out, public/ is not here');
    return;
  }
  const tokenizer = await loadTokenizer(files);
  const limit = gpu.isSoftware || quick ? 12 : 200;
  const models: [string, () => Promise<LoadedModel>][] = [['pocket-15m, NF4', () => loadModel(gpu, files)]];
  if (!gpu.isSoftware) models.push(['Llama-3.2-1B shape, NF4', () => randomModel(gpu, LLAMA_1B, 'NF4', 'BF16')]);
  const results = [];
  for (const [name, open] of models) {
    const model = await open();
    for (const set of SETS) {
      const sets = await encoded(data, set, tokenizer, limit);
      const runs = [];
      for (const [way, options] of Object.entries(WAYS)) runs.push({ way, ...(await timed(model, sets, options)) });
      const slowest = runs.at(-1)!;
      for (const { way, seconds, tokens, passes, scores } of runs) {
        const { worst, relative } = differences(scores, slowest.scores);
        const speedUp = slowest.seconds / seconds;
        results.push({ model: name, set, items: sets.length, way, seconds, tokens, passes, speedUp, worst, relative });
        print(
          `eval ${name}, ${set}, ${sets.length} items, ${way}: ${seconds.toFixed(2)} s, ${tokens} tokens in ${passes} ` +
            `passes, ${speedUp.toFixed(1)}x; scores differ by at most ${worst.toExponential(1)} nats, ${relative.toExponential(1)} of the score`,
        );
      }
    }
    model.weightMemory.destroy();
    model.cmd.destroy();
  }
  report.eval = results;
};
