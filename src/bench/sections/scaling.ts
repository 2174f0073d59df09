/** Cost against size: step time over tokens and over layers, with the straight line through it, and over many steps. */

import { randomModel } from '../../model/random-weights';
import type { LoadedModel } from '../../model/session';
import { median } from '../harness';
import type { Section } from '../section';
import { SteadyRun } from '../steady';
import { randomPairs } from '../step';
import { LLAMA_1B, SLIVER } from '../synthetic';

/** Least squares: y = fixed + slope x, by relative error, and the largest of those errors. */
export function straightLine(
  x: readonly number[],
  y: readonly number[],
): { fixed: number; slope: number; worst: number } {
  // Weighted by 1 / y^2, so that small sizes count as much as large ones.
  const sums = { w: 0, x: 0, y: 0, xx: 0, xy: 0 };
  x.forEach((xi, i) => {
    const w = 1 / y[i] ** 2;
    sums.w += w;
    sums.x += w * xi;
    sums.y += w * y[i];
    sums.xx += w * xi * xi;
    sums.xy += w * xi * y[i];
  });
  const slope = (sums.w * sums.xy - sums.x * sums.y) / (sums.w * sums.xx - sums.x ** 2);
  const fixed = (sums.y - slope * sums.x) / sums.w;
  const worst = Math.max(...x.map((xi, i) => Math.abs(fixed + slope * xi - y[i]) / y[i]));
  return { fixed, slope, worst };
}

export const scaling: Section = async ({ gpu, quick, heapBytes, secondsLeft, print, report, save }) => {
  const base = quick ? SLIVER : LLAMA_1B;
  const result: Record<string, unknown> = {};
  report.scaling = result;
  // The first steps after a model was made run at a low clock, and those of the first two seconds in JavaScript that is not yet
  // compiled for speed: on an H100 256 tokens took 52 to 56 ms a step there, and 41 later.
  const leastMs = quick ? 0 : 300;
  let warmMs = quick ? 0 : 2000;
  const time = async (model: LoadedModel, pairs: number, length: number) => {
    const rows = randomPairs({ pairs, length, prompt: 1 }, pairs * 6, base.vocabSize);
    const run = await SteadyRun.open(model, rows, pairs, 1000, pairs * 2 * length);
    const began = performance.now();
    let last = await run.time(1);
    while (performance.now() - began < warmMs) last = await run.time(1);
    warmMs = leastMs;
    const steps = quick ? 1 : Math.max(3, Math.min(20, Math.ceil(leastMs / last)));
    const ms = (await run.time(steps)) / steps;
    run.destroy();
    return ms;
  };
  const withModel = async <T>(layers: number, work: (model: LoadedModel) => Promise<T>): Promise<T> => {
    const model = await randomModel(gpu, { ...base, layers }, 'NF4', 'BF16');
    const result = await work(model);
    model.weightMemory.destroy();
    model.cmd.destroy();
    return result;
  };
  const series = async (name: string, sizes: readonly number[], measureOne: (size: number) => Promise<number>) => {
    const ms: number[] = [];
    for (const size of sizes) {
      if (secondsLeft() < 1) return;
      ms.push(await measureOne(size));
    }
    const line = straightLine(sizes, ms);
    result[name] = { sizes, ms, ...line };
    print(
      `scaling, ${name}: ${sizes.map((size, i) => `${size}: ${ms[i].toFixed(1)}`).join(', ')} ms; ` +
        `${line.fixed.toFixed(1)} + ${line.slope.toPrecision(3)} ms each, at most ${(100 * line.worst).toFixed(1)} % off`,
    );
    await save();
  };
  const overSteps = async (model: LoadedModel) => {
    const most = quick ? 4 : 500;
    const rows = randomPairs({ pairs: 1, length: 64, prompt: 1 }, 16, base.vocabSize);
    const run = await SteadyRun.open(model, rows, 1, most, 128);
    const ms: number[] = [];
    const heap: (number | null)[] = [heapBytes()];
    const bytes = run.runBytes;
    const slice = Math.max(1, Math.floor(most / 10));
    while (run.trainer.step < most && secondsLeft() > 2) {
      ms.push((await run.time(slice)) / slice);
      heap.push(heapBytes());
    }
    const usual = ms.slice(1);
    const drift = usual.length ? median(usual.slice(-3)) / median(usual.slice(0, 3)) - 1 : null;
    result.drift = { steps: run.trainer.step, sliceMs: ms, drift, heap, bytesBefore: bytes, bytesAfter: run.runBytes };
    print(
      `scaling, ${run.trainer.step} steps: ${ms.map((x) => x.toFixed(2)).join(', ')} ms; drift ${drift === null ? 'not measured' : `${(100 * drift).toFixed(1)} %`}`,
    );
    run.destroy();
    await save();
  };
  // Sequences of one length, so that attention is in proportion as well.
  const half = quick ? 16 : 128;
  const tokens = quick ? [32, 64] : [256, 512, 1024, 2048, 4096, 8192];
  await withModel(base.layers, (model) => series('tokens', tokens, (n) => time(model, n / (2 * half), half)));
  await series('layers', quick ? [1, 2] : [2, 4, 8, 16], (n) =>
    withModel(n, (model) => time(model, quick ? 1 : 4, quick ? 16 : 256)),
  );
  await withModel(quick ? 1 : 4, (model) => overSteps(model));
};
