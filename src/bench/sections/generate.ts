/** Tokens per second of KV-cached greedy generation, one sequence and several side by side. */
import { generate, planGeneration } from '../../generate/generate';
import { InferenceSession } from '../../inference/session';
import { loadModel } from '../../model/load';
import { randomModel } from '../../model/random-weights';
import type { LoadedModel } from '../../model/session';
import type { Section } from '../section';
import { LLAMA_1B } from '../synthetic';

const PROMPT = 128;

async function timed(model: LoadedModel, sequences: number, tokens: number) {
  const { gpu, config } = model;
  const prompts = Array.from({ length: sequences }, (_, s) =>
    Array.from({ length: PROMPT }, (_, i) => ((i + 1) * 7919 + s * 104729) % config.vocabSize),
  );
  const lengths = prompts.map(({ length }) => length);
  const plan = planGeneration(config, gpu.device.limits, gpu.profile.attentionTile, lengths, tokens);
  const session = await InferenceSession.create(model, plan);
  await generate(session, prompts, { maxNewTokens: 4 });
  let first = 0;
  const began = performance.now();
  const onToken = () => {
    first ||= performance.now();
  };
  await generate(session, prompts, { maxNewTokens: tokens, onToken });
  const seconds = (performance.now() - first) / 1000;
  const prefill = first - began;
  const bytes = session.memory.bytes;
  session.destroy();
  return { prefillMs: prefill, tokensPerSecond: (sequences * (tokens - 1)) / seconds, bytes };
}

export const generation: Section = async ({ gpu, quick, folder, print, report }) => {
  const files = await folder('public/models/pocket-15m-bnb-4bit');
  const models: [string, () => Promise<LoadedModel>][] = files
    ? [['pocket-15m, NF4', () => loadModel(gpu, files)]]
    : [];
  if (!gpu.isSoftware) models.push(['Llama-3.2-1B shape, NF4', () => randomModel(gpu, LLAMA_1B, 'NF4', 'BF16')]);
  const results = [];
  for (const [name, open] of models) {
    const model = await open();
    for (const sequences of gpu.isSoftware ? [1] : [1, 4, 8]) {
      const result = { model: name, sequences, ...(await timed(model, sequences, gpu.isSoftware || quick ? 8 : 128)) };
      results.push(result);
      print(
        `generate ${name}, ${sequences} at a time after ${PROMPT} tokens: ${result.tokensPerSecond.toFixed(0)} tokens/s; ` +
          `prompts ${result.prefillMs.toFixed(0)} ms, ${(result.bytes / 2 ** 20).toFixed(0)} MiB beside the weights`,
      );
    }
    model.weightMemory.destroy();
    model.cmd.destroy();
  }
  report.generate = results;
};
