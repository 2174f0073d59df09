/**
 * Whole steps of the 1B shape on rows of full length with nothing in common, in turn with the reference on the same GPU:
 * tokens per second as trainers with padding count them, medians of rounds, and their ratio.
 */

import { randomModel } from '../../model/random-weights';
import { median } from '../harness';
import type { ReferenceAnswer, Section } from '../section';
import { SteadyRun } from '../steady';
import { randomPairs } from '../step';
import { configFields, LLAMA_1B, SLIVER } from '../synthetic';

const GIB = 2 ** 30;

export const beside: Section = async ({ gpu, quick, keepBytes, reference, print, report, save }) => {
  const [rounds, steps, warm] = quick ? [1, 1, 1] : [3, 3, 2];
  const c = { pairs: 2, length: quick ? 64 : 1024, prompt: 1 };
  const tokens = c.pairs * 2 * c.length;
  const config = quick ? SLIVER : LLAMA_1B;
  const model = await randomModel(gpu, config, 'NF4', 'BF16');
  const total = warm + rounds * steps;
  const rows = randomPairs(c, c.pairs * total, config.vocabSize);
  const runs: { keep: number; run: SteadyRun; bytes: number; rates: number[] }[] = [];
  for (const keep of keepBytes) {
    const run = await SteadyRun.open(model, rows, c.pairs, total, tokens, { keep_bytes: keep });
    await run.time(warm);
    runs.push({ keep, run, bytes: model.weightMemory.bytes + run.runBytes, rates: [] });
  }
  const shape = configFields(config);
  const ask = (dtype: 'fp32' | 'tf32' | 'bf16', first: boolean) =>
    reference?.ask({ dtype, pairs: c.pairs, length: c.length, steps, warm: first ? warm : 0, shape }) ?? null;

  const theirs: ReferenceAnswer[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const { run, rates } of runs) rates.push((tokens * steps * 1000) / (await run.time(steps)));
    const answer = await ask('fp32', round === 0);
    if (answer) theirs.push(answer);
  }
  const [{ run, rates: ours, bytes }] = runs;
  const result: Record<string, unknown> = {
    case: c,
    rounds,
    stepsPerRound: steps,
    tokensPerSecond: ours,
    median: median(ours),
    bytes,
    losses: run.losses,
    kept: runs.map((one) => ({ keepBytes: one.keep, bytes: one.bytes, tokensPerSecond: one.rates })),
  };
  report.beside = result;
  for (const { rates, bytes } of runs)
    print(`beside: ${median(rates).toFixed(0)} tokens/s, ${(bytes / GIB).toFixed(2)} GiB planned`);
  const against = (answers: readonly ReferenceAnswer[]) => {
    const rate = median(answers.map((a) => a.tokensPerSecond));
    const peak = Math.max(...answers.map((a) => a.peakBytes ?? 0));
    const { dtype } = answers[0];
    result[dtype] = {
      tokensPerSecond: answers.map((a) => a.tokensPerSecond),
      median: rate,
      peakBytes: peak,
      losses: answers.flatMap((a) => a.losses),
      ratio: median(ours) / rate,
      memoryShare: peak ? bytes / peak : null,
    };
    print(
      `  PyTorch ${dtype}: ${rate.toFixed(0)} tokens/s; ours is at ${runs.map((one) => (median(one.rates) / rate).toFixed(3)).join(', ')} of that` +
        (peak
          ? `, with ${runs.map((one) => (one.bytes / peak).toFixed(3)).join(', ')} of its ${(peak / GIB).toFixed(2)} GiB`
          : ''),
    );
  };
  if (theirs.length) against(theirs);
  await save();
  for (const dtype of ['tf32', 'bf16'] as const) {
    const answer = await ask(dtype, true);
    if (answer) against([answer]);
    await save();
  }
  for (const one of runs) one.run.destroy();
  model.weightMemory.destroy();
  model.cmd.destroy();
};
