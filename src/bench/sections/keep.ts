/** What memory for kept values buys: full rows and real rows with several `keep_bytes`, in turn, with the same losses. */
import type { TokenizedPair } from '../../data/types';
import { randomModel } from '../../model/random-weights';
import { median } from '../harness';
import { folded, sharegptPairs } from '../rows';
import type { Section } from '../section';
import { SteadyRun } from '../steady';
import { randomPairs } from '../step';
import { LLAMA_1B, SLIVER } from '../synthetic';

const BUDGETS = [0, -1, 1.1e9, 7e9];
const QUICK_BUDGETS = [0, -1, 1e5, 1e6];

export const keep: Section = async ({ gpu, quick, folder, pairs, secondsLeft, print, report, save }) => {
  const config = quick ? SLIVER : LLAMA_1B;
  const length = quick ? 32 : 1024;
  const rounds = quick ? 1 : 3;
  const model = await randomModel(gpu, config, 'NF4', 'BF16');
  const result: Record<string, unknown> = {};
  report.keep = result;
  const compare = async (name: string, rows: readonly TokenizedPair[], steps: number) => {
    const runs: { bytes: number; gib: number; run: SteadyRun; ms: number[] }[] = [];
    for (const bytes of quick ? QUICK_BUDGETS : BUDGETS) {
      const hparams = { max_length: length, keep_bytes: bytes };
      const run = await SteadyRun.open(model, rows, 2, steps * (rounds + 1), 4 * length, hparams).catch((error) => {
        print(`keep, ${name}: ${bytes} bytes left out: ${(error as Error).message}`);
        return null;
      });
      if (!run) continue;
      runs.push({ bytes, gib: (model.weightMemory.bytes + run.runBytes) / 2 ** 30, run, ms: [] });
      await run.time(steps);
    }
    for (let round = 0; round < rounds && secondsLeft() > 1; round++) {
      for (const { run, ms } of runs) ms.push((await run.time(steps)) / steps);
    }
    const [first] = runs;
    result[name] = runs.map(({ bytes, gib, run, ms }) => {
      const same = run.losses.every((loss, i) => loss === first.run.losses[i]);
      print(
        `keep, ${name}: ${String(bytes).padStart(10)} bytes: ${median(ms).toFixed(1)} ms a step, ${gib.toFixed(2)} GiB, ` +
          `${(median(first.ms) / median(ms)).toFixed(3)} times as fast; losses ${same ? 'the same to the bit' : 'DIFFER'}`,
      );
      return { keepBytes: bytes, gib, ms, same };
    });
    for (const { run } of runs) run.destroy();
    await save();
  };
  await compare('full rows', randomPairs({ pairs: 2, length, prompt: 1 }, 2, config.vocabSize), 1);
  const real = pairs ?? (await sharegptPairs(folder, quick ? 128 : length));
  if (real) {
    const few = real.slice(0, quick ? 4 : 8).map((pair) => (quick ? folded(pair, config.vocabSize) : pair));
    await compare('real rows', few, few.length / 2);
  } else print('keep: real rows left out, they or their tokenizer are not here');
  model.weightMemory.destroy();
  model.cmd.destroy();
};
