/** Whole ORPO steps of a random Llama-3.2-1B-shaped model with NF4 weights, or on a processor of a sliver of it. */

import { randomModel } from '../../model/random-weights';
import type { Section } from '../section';
import { kernelLines, stepTime } from '../step';
import { LLAMA_1B, SLIVER } from '../synthetic';

export const step: Section = async ({ gpu, quick, print, report }) => {
  const model = await randomModel(gpu, gpu.isSoftware ? SLIVER : LLAMA_1B, 'NF4', 'BF16');
  const steps = [];
  const length = gpu.isSoftware ? 64 : 1024;
  for (const prompt of [1, length / 2]) {
    const r = await stepTime(model, { pairs: 2, length, prompt }, quick ? 2 : 6, true);
    steps.push({ prompt, ...r });
    const gib = ((r.weightBytes + r.runBytes) / 2 ** 30).toFixed(2);
    print(
      `step, 2 pairs x 2 x ${length} tokens, ${prompt} shared: ${r.ms.toFixed(0)} ms, ` +
        `${r.tokensPerSecond.toFixed(0)} tokens/s, ${gib} GiB, ${r.dispatches} dispatches in ` +
        `${r.submits.toFixed(1)} submits, the longest ${r.longestSubmit.toFixed(0)} ms`,
    );
    for (const line of kernelLines(r.kernels, 20)) print(line);
  }
  model.weightMemory.destroy();
  model.cmd.destroy();
  report.steps = steps;
};
