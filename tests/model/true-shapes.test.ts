/**
 * One layer of the true width of Llama-3-8B and of Llama-3.2-1B, NF4 weights and LoRA on all seven projections: what goes
 * into the head and the gradient of every adapter tensor against the float64 reference.
 */
import { describe, expect, test } from 'vitest';
import { knownConfig } from '../../src/cli/checkpoint/configs';
import { randomTensors } from '../../src/cli/checkpoint/tensors';
import { writeWeights } from '../../src/export/safetensors-out';
import { MemorySink } from '../../src/export/sink';
import { isNf4, nf4State } from '../../src/formats/bnb-nf4';
import { type ModelFiles, memoryFiles } from '../../src/formats/bytes';
import { Checkpoint } from '../../src/formats/checkpoint';
import { bf16ToF32 } from '../../src/formats/float';
import { downloadAdapter, uploadAdapter } from '../../src/model/adapter';
import { parseConfig } from '../../src/model/config';
import { loadModel } from '../../src/model/load';
import { loraLayout } from '../../src/model/lora';
import { Session } from '../../src/model/session';
import { TARGET_MODULES } from '../../src/train/hparams';
import { packPairs as referencePack } from '../reference/batch';
import { type LayerWeights, PROJECTIONS } from '../reference/layer';
import { type Adapter, type LlamaModel, lossAndGradients } from '../reference/model';
import { dequantiseNf4 } from '../reference/nf4';
import { randomAdapter, randomPair } from '../reference/random-model';
import { createRng } from '../reference/rng';
import { ropeInvFreq } from '../reference/rope';
import { relativeL2 } from '../support/close';
import { checked, download } from '../support/gpu';
import { adapterMap, capacityFor, device, packOf, scalesOf, testGpu } from './support';

const BETA = 0.1;
const VOCAB = 256;

/** The files of a model with one layer of a published width. */
async function oneLayer(name: string): Promise<Map<string, Uint8Array>> {
  const json = { ...knownConfig(name), num_hidden_layers: 1, vocab_size: VOCAB, tie_word_embeddings: true };
  const sink = new MemorySink();
  const config = parseConfig(json);
  await writeWeights(sink, randomTensors({ config, format: 'bnb-4bit', seed: 3, std: 0.02 }));
  return new Map([...sink.files, ['config.json', new TextEncoder().encode(JSON.stringify(json))]]);
}

/** What the files mean, in float64. */
async function meaning(files: ModelFiles): Promise<LlamaModel> {
  const checkpoint = await Checkpoint.open(files);
  const c = parseConfig(checkpoint.config);
  const read = async (name: string): Promise<Float64Array> => {
    if (!isNf4(checkpoint, name)) {
      return Float64Array.from(bf16ToF32(new Uint16Array((await checkpoint.read(name)).buffer)));
    }
    const { quantMap, blocksize, nested } = await nf4State(checkpoint, name);
    const { codes, ...rest } = nested!;
    return dequantiseNf4({ packed: await checkpoint.read(name), quantMap, blocksize, absmax: codes, nested: rest });
  };
  const layer: Record<string, Float64Array> = {};
  for (const norm of ['input_layernorm', 'post_attention_layernorm']) {
    layer[norm] = await read(`model.layers.0.${norm}.weight`);
  }
  for (const projection of PROJECTIONS) {
    const block = /^[qkvo]_/.test(projection) ? 'self_attn' : 'mlp';
    layer[projection] = await read(`model.layers.0.${block}.${projection}.weight`);
  }
  const embed = await read('model.embed_tokens.weight');
  const { rope, headDim } = c;
  const scaling = { ...rope, type: 'llama3', originalMaxPosition: rope.originalMaxPositions } as const;
  return {
    shape: {
      hidden: c.hiddenSize,
      intermediate: c.intermediateSize,
      layers: 1,
      heads: c.heads,
      kvHeads: c.kvHeads,
      headDim,
      vocab: VOCAB,
      rmsEps: c.rmsNormEps,
    },
    invFreq: rope.type === 'llama3' ? ropeInvFreq(headDim, rope.theta, scaling) : ropeInvFreq(headDim, rope.theta),
    embed,
    layers: [layer as LayerWeights],
    norm: await read('model.norm.weight'),
    lmHead: embed,
  };
}

/** The layer's output for every token and the gradients of one step on the GPU. */
function onGpu(files: ModelFiles, adapter: Adapter, micros: Parameters<typeof scalesOf>[0]) {
  return checked(device, async () => {
    const open = await loadModel(testGpu(), files);
    const settings = { lora_r: 16, lora_alpha: 32, use_rslora: false, target_modules: TARGET_MODULES };
    const lora = loraLayout(open.config, settings, 2 ** 27);
    const pack = packOf(micros.flat(), scalesOf(micros, true, BETA).flat(), true, open.gpu.profile.attentionTile);
    const run = { optim: 'adamw_torch', gradient_checkpointing: true } as const;
    const session = await Session.create(open, lora, capacityFor([pack]), run);
    uploadAdapter(session, adapterMap(adapter));
    await session.upload(pack);
    await session.forward(pack);
    await session.backward(pack, false);
    await open.cmd.finish();
    const output = await download(device, session.memory.get('hidden.1'), pack.tokens * open.config.hiddenSize);
    const grads = await downloadAdapter(session, 'grad');
    session.destroy();
    open.weightMemory.destroy();
    return { output, grads };
  });
}

describe.each([
  ['llama-3-8b', 2, 2, 3],
  ['llama-3.2-1b', 5, 5, 4],
])('one layer of %s', (name, prompt, chosen, rejected) => {
  test('forward and backward', { timeout: 400_000 }, async () => {
    const files = memoryFiles(Object.fromEntries(await oneLayer(name)));
    const model = await meaning(files);
    const adapter = randomAdapter(createRng(21), model, { rank: 16, scale: 2 });
    const micros = [[randomPair(createRng(22), VOCAB, prompt, chosen, rejected, 1)]];
    const { output, grads } = await onGpu(files, adapter, micros);
    const errors = () => {
      const exact = lossAndGradients(model, adapter, referencePack(micros), { beta: BETA });
      const gradients = [...exact.grads].map(([key, grad]) => relativeL2(grads.get(key)!.values, grad));
      return { forward: relativeL2(output, exact.forward.inputs[1]), gradients };
    };
    const { forward, gradients } = errors();
    expect(forward).toBeLessThan(1e-4);
    expect(gradients).toHaveLength(14);
    expect(Math.max(...gradients)).toBeLessThan(1e-3);

    // One f32 scale of the last projection off by a half: that of 256 blocks, a few of its thousands of rows.
    const [{ down_proj }] = model.layers;
    for (let i = 0; i < 256 * 64; i++) down_proj[i] *= 1.5;
    const wrong = errors();
    expect(wrong.forward).toBeGreaterThan(1e-4);
    expect(wrong.gradients.filter((error) => error > 1e-3).length).toBeGreaterThan(7);
  });
});
