/**
 * Pairs per second on real rows, in turn with the reference on the same rows and the same GPU, and what each of three
 * savings is worth: no padding, no head for positions without a loss, a prompt computed once for both answers.
 */
import type { TokenizedPair } from '../../data/types';
import { randomModel } from '../../model/random-weights';
import { median } from '../harness';
import { folded, paddedTokens, sharegptPairs, withAllRows, withPadding, withPromptTwice } from '../rows';
import type { Section } from '../section';
import { SteadyRun } from '../steady';
import { anyRows, kernelLines } from '../step';
import { configFields, LLAMA_1B, SLIVER } from '../synthetic';

const BATCH = 2;

export const realRows: Section = async (bench) => {
  const { gpu, quick, reference, secondsLeft, print, report, save } = bench;
  const maxLength = quick ? 128 : 1024;
  const all = bench.pairs ?? (await sharegptPairs(bench.folder, maxLength));
  if (!all) {
    print('real-rows: left out, the rows or their tokenizer are not here; --rows names a file of token ids');
    return;
  }
  const [rounds, steps, warm] = quick ? [1, 2, 1] : [3, 14, 2];
  const config = quick ? SLIVER : LLAMA_1B;
  const pairs = all.slice(0, steps * BATCH).map((pair) => (quick ? folded(pair, config.vocabSize) : pair));
  const model = await randomModel(gpu, config, 'NF4', 'BF16');
  const open = (rows: readonly TokenizedPair[], passes: number, keep: number) =>
    SteadyRun.open(model, rows, BATCH, warm + (passes + 1) * steps, 4 * maxLength, {
      max_length: maxLength,
      keep_bytes: keep,
    });
  // The batches of the reference, and of a run whose warm-up took the first ones.
  const batches = Array.from({ length: steps }, (_, i) => {
    const first = ((warm + i) % steps) * BATCH;
    return Array.from({ length: BATCH }, (_, j) => first + j);
  });
  const path = await reference?.file(pairs);
  const shape = configFields(config);
  // Every length once before the clock runs: some of PyTorch's kernels are prepared for each new one.
  const ask = (dtype: 'fp32' | 'tf32' | 'bf16', first: boolean) =>
    reference?.ask({ dtype, rows: path, batches, warm: first ? steps : 0, shape }) ?? null;
  const perSecond = (ms: number) => (pairs.length * 1000) / ms;

  const padded = paddedTokens(pairs, BATCH);
  const share = (n: number, of: number) => Number((n / of).toFixed(3));
  const runs: { keepBytes: number; run: SteadyRun; gib: number; rates: number[] }[] = [];
  for (const keepBytes of bench.keepBytes) {
    const run = await open(pairs, rounds, keepBytes);
    await run.time(warm);
    runs.push({ keepBytes, run, gib: (model.weightMemory.bytes + run.runBytes) / 2 ** 30, rates: [] });
  }
  const theirs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const { run, rates } of runs) rates.push(perSecond(await run.time(steps)));
    const answer = await ask('fp32', round === 0);
    if (answer) theirs.push(perSecond(answer.ms.reduce((a, b) => a + b, 0)));
  }
  const [{ run, rates: ours }] = runs;
  const variants = [
    { name: 'as it is', tokens: run.tokens, rows: run.rows, pairsPerSecond: median(ours), rounds: ours },
  ];
  const result: Record<string, unknown> = {
    pairs: pairs.length,
    batch: BATCH,
    maxLength,
    trlTokens: padded,
    tokenShare: share(run.tokens, padded),
    headRowShare: share(run.rows, padded),
    // Of all rows, to tell how well the ones that are timed stand for them.
    paddedTokensPerPair: { timed: padded / pairs.length, all: paddedTokens(all, BATCH) / all.length },
    kept: runs.map(({ keepBytes, gib, rates }) => ({ keepBytes, gib, pairsPerSecond: median(rates), rounds: rates })),
    variants,
  };
  report.realRows = result;
  print(
    `real rows: ${runs.map(({ rates }) => median(rates).toFixed(2)).join(', ')} pairs/s at ` +
      `${runs.map(({ gib }) => gib.toFixed(2)).join(', ')} GiB planned; ${(100 * share(run.tokens, padded)).toFixed(0)} % of TRL's tokens, ` +
      `${(100 * share(run.rows, padded)).toFixed(0)} % of its head rows`,
  );
  const against = (dtype: string, rates: readonly number[]) => {
    const ratios = runs.map((one) => median(one.rates) / median(rates));
    result[dtype] = { pairsPerSecond: rates, median: median(rates), ratio: ratios[0], ratios };
    print(
      `  PyTorch ${dtype}: ${median(rates).toFixed(2)} pairs/s; ours is ${ratios.map((r) => r.toFixed(3)).join(', ')} times that`,
    );
  };
  if (theirs.length) against('fp32', theirs);
  const kernels = anyRows(await run.kernels(steps));
  result.kernels = kernels;
  for (const line of kernelLines(kernels, 20)) print(line);
  for (const one of runs) one.run.destroy();
  await save();

  const twice = pairs.map(withPromptTwice);
  const everyRow = twice.map(withAllRows);
  const cases = [
    ['padded, prompt twice, every row', withPadding(everyRow, BATCH).map(withAllRows)],
    ['no padding, prompt twice, every row', everyRow],
    ['no padding, prompt twice, rows with a loss', twice],
  ] as const;
  let slower = 0;
  for (const [name, rows] of cases) {
    if (secondsLeft() < 1) break;
    const variant = await open(rows, 1, bench.keepBytes[0]);
    // A whole pass, so that no kernel is compiled while the clock runs: other lengths may take other tiles.
    await variant.time(warm + steps);
    const rate = perSecond(await variant.time(steps));
    variants.push({ name, tokens: variant.tokens, rows: variant.rows, pairsPerSecond: rate, rounds: [rate] });
    print(
      `  ${name}: ${rate.toFixed(2)} pairs/s, ${variant.tokens} tokens, ${variant.rows} head rows` +
        (slower ? `; ${(rate / slower).toFixed(3)} times the line above` : ''),
    );
    slower = rate;
    variant.destroy();
    await save();
  }
  if (variants.length > cases.length)
    print(`  all of that and the prompt once: ${(median(ours) / slower).toFixed(3)} times the line above`);
  for (const dtype of ['tf32', 'bf16'] as const) {
    const answer = await ask(dtype, true);
    if (answer) against(dtype, [perSecond(answer.ms.reduce((a, b) => a + b, 0))]);
    await save();
  }
  model.weightMemory.destroy();
  model.cmd.destroy();
};
