/** Merging: the merged weights alone give the losses of the base with its adapter, DoRA and a base quantised on load included. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { TokenizedPair } from '../../src/data/types';
import { cpuMerger } from '../../src/export/merge';
import { mergedWeights } from '../../src/export/weights';
import { type ModelFiles, memoryFiles } from '../../src/formats/bytes';
import { type AdapterTensor, readAdapter } from '../../src/formats/peft';
import { initialAdapter, uploadAdapter } from '../../src/model/adapter';
import { type LoadOptions, loadModel, type OpenModel } from '../../src/model/load';
import { loraLayout } from '../../src/model/lora';
import { Session } from '../../src/model/session';
import { PAIR_RESULT } from '../../src/ops/orpo_loss';
import { TARGET_MODULES } from '../../src/train/hparams';
import { folderFiles, repositoryPath } from '../support/files';
import { checked } from '../support/gpu';
import { capacityFor, device, packOf, safetensors, scalesOf, testGpu } from './support';

const goldens = (path: string) => repositoryPath(`tests/goldens/${path}`);
/** The shortest pair: one is enough. */
const pairs: TokenizedPair[] = readFileSync(goldens('stories-260k-lora/eval_tokens.jsonl'), 'utf8')
  .split('\n')
  .filter(Boolean)
  .map((line): TokenizedPair => JSON.parse(line))
  .sort((a, b) => a.chosen_input_ids.length - b.chosen_input_ids.length)
  .slice(0, 1);
const settings = { lora_r: 8, lora_alpha: 16, use_rslora: false, target_modules: TARGET_MODULES };
const RUN = { optim: 'adamw_torch', gradient_checkpointing: true } as const;

/** Numbers of the pairs, from the forward alone. */
async function losses(open: OpenModel, dora: boolean, adapter: ReadonlyMap<string, AdapterTensor> | null) {
  const lora = loraLayout(open.config, { ...settings, use_dora: dora }, 2 ** 27);
  const pack = packOf(pairs, scalesOf([pairs], true, 0.1).flat(), true, open.gpu.profile.attentionTile);
  return checked(device, async () => {
    const session = await Session.create(open, lora, capacityFor([pack]), RUN);
    // A fresh LoRA has B = 0 and changes nothing.
    uploadAdapter(session, adapter ?? initialAdapter(lora, 0));
    await session.upload(pack);
    await session.forward(pack);
    const bytes = await open.cmd.read({ buffer: session.memory.get('pack.results') }, pack.pairs * 32);
    session.destroy();
    return new Float32Array(bytes);
  });
}

async function mergedFiles(open: OpenModel, adapter: ReadonlyMap<string, AdapterTensor>, quantized: boolean) {
  const { checkpoint } = open;
  const merged = await mergedWeights(checkpoint, cpuMerger(adapter, 2), {
    dtype: 'F32',
    base: 'trained',
    quantize: quantized ? {} : undefined,
  });
  const stored = await Promise.all(
    merged.map(async ({ name, dtype, shape, bytes }) => {
      const pieces: Uint8Array[] = [];
      for await (const piece of bytes()) pieces.push(piece.slice());
      return { name, dtype, shape, bytes: new Uint8Array(Buffer.concat(pieces)) };
    }),
  );
  const config = { ...checkpoint.config, quantization_config: undefined };
  return memoryFiles({ 'config.json': JSON.stringify(config), 'model.safetensors': safetensors(stored) });
}

const adapterOf = async (golden: string) =>
  readAdapter(await (await folderFiles(goldens(golden))).open('adapter_model.safetensors'));
const stories = (): Promise<ModelFiles> => folderFiles(repositoryPath('public/models/stories-260k'));

describe('a merged model has the losses of the model with its adapter', () => {
  it.each([
    ['LoRA', 'stories-260k-lora', {}],
    ['DoRA', 'stories-260k-dora', {}],
    ['DoRA on a base quantised as it loads', 'stories-260k-dora', { quantize: 'nf4' }],
  ] as [string, string, LoadOptions][])('%s', async (_, golden, options) => {
    const adapter = await adapterOf(golden);
    const dora = golden.endsWith('dora');
    const open = await loadModel(testGpu(), await stories(), undefined, options);
    const trained = await losses(open, dora, adapter);
    const merged = await loadModel(testGpu(), await mergedFiles(open, adapter, options.quantize !== undefined));
    const alone = await losses(merged, false, null);
    const base = await losses(open, false, null);
    for (const name of ['nllSum', 'logpChosen', 'logpRejected'] as const) {
      for (let p = 0; p < pairs.length; p++) {
        const at = p * 8 + PAIR_RESULT.indexOf(name);
        expect(Math.abs(alone[at] - trained[at]) / Math.abs(trained[at]), name).toBeLessThan(1e-5);
        expect(Math.abs(base[at] - trained[at]) / Math.abs(trained[at]), name).toBeGreaterThan(1e-3);
      }
    }
  });
});
