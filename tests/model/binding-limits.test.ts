/**
 * A matrix larger than one binding may be: a tied embedding of 66,000 rows of 512 f32 values (135 MB) on a device that
 * allows bindings of 128 MiB and buffers of 256 MiB, against the same on a device that holds it in one piece.
 */
import { expect, it } from 'vitest';
import { dawn } from '../../src/cli/dawn';
import { memoryFiles } from '../../src/formats/bytes';
import { type Gpu, openGpu } from '../../src/gpu/device';
import { downloadAdapter, initialAdapter, uploadAdapter } from '../../src/model/adapter';
import { loadModel } from '../../src/model/load';
import { loraLayout } from '../../src/model/lora';
import { slabLimit } from '../../src/model/plan';
import { Session } from '../../src/model/session';
import { TARGET_MODULES } from '../../src/train/hparams';
import { createRng } from '../reference/rng';
import { relativeL2 } from '../support/close';
import { checked } from '../support/gpu';
import { capacityFor, packOf, safetensors, scalesOf, testGpu } from './support';

const VOCAB = 66_000;
const HIDDEN = 512;
const config = {
  model_type: 'llama',
  vocab_size: VOCAB,
  hidden_size: HIDDEN,
  intermediate_size: 64,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  tie_word_embeddings: true,
};

function files() {
  const rng = createRng(1);
  const tensors: Parameters<typeof safetensors>[0][number][] = [];
  const add = (name: string, shape: number[], values: Float32Array) =>
    tensors.push({ name, dtype: 'F32', shape, bytes: new Uint8Array(values.buffer) });
  const matrix = (rows: number, columns: number) => Float32Array.from(rng.normals(rows * columns, 0.05));
  // Cheap noise: 34 million normals would take longer than the test.
  const embedding = new Float32Array(VOCAB * HIDDEN);
  let state = 7;
  for (let i = 0; i < embedding.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    embedding[i] = state * 2 ** -34;
  }
  add('model.embed_tokens.weight', [VOCAB, HIDDEN], embedding);
  const ones = () => new Float32Array(HIDDEN).fill(1);
  const sizes = { q: [64, HIDDEN], k: [32, HIDDEN], v: [32, HIDDEN], o: [HIDDEN, 64] };
  for (const [name, [rows, columns]] of Object.entries(sizes)) {
    add(`model.layers.0.self_attn.${name}_proj.weight`, [rows, columns], matrix(rows, columns));
  }
  for (const [name, [rows, columns]] of Object.entries({ gate: [64, HIDDEN], up: [64, HIDDEN], down: [HIDDEN, 64] })) {
    add(`model.layers.0.mlp.${name}_proj.weight`, [rows, columns], matrix(rows, columns));
  }
  for (const name of ['layers.0.input_layernorm', 'layers.0.post_attention_layernorm', 'norm']) {
    add(`model.${name}.weight`, [HIDDEN], ones());
  }
  return memoryFiles({ 'config.json': JSON.stringify(config), 'model.safetensors': safetensors(tensors) });
}

// Tokens and targets on both sides of the row where the matrix is split (65,536).
const prompt = [5, 65_535, 65_536, 65_999];
const pair = {
  chosen_input_ids: [...prompt, 65_990, 12],
  rejected_input_ids: [...prompt, 3, 65_537, 40_000],
  chosen_labels: [-100, -100, -100, -100, 65_990, 12],
  rejected_labels: [-100, -100, -100, -100, 3, 65_537, 40_000],
};

async function step(gpu: Gpu) {
  return checked(gpu.device, async () => {
    const open = await loadModel(gpu, model);
    const settings = { lora_r: 4, lora_alpha: 8, use_rslora: false, target_modules: TARGET_MODULES };
    const lora = loraLayout(open.config, settings, slabLimit(gpu.device.limits));
    const pack = packOf([pair], scalesOf([[pair]], true, 0.1).flat(), true, gpu.profile.attentionTile);
    const run = { optim: 'adamw_torch', gradient_checkpointing: true } as const;
    const session = await Session.create(open, lora, capacityFor([pack]), run);
    const adapter = initialAdapter(lora, 2);
    const rng = createRng(3);
    for (const [name, { values }] of adapter) if (name.includes('lora_B')) values.set(rng.normals(values.length, 0.1));
    uploadAdapter(session, adapter);
    await session.upload(pack);
    await session.forward(pack);
    await session.backward(pack, false);
    const results = new Float32Array(await open.cmd.read({ buffer: session.memory.get('pack.results') }, 32));
    const grads = await downloadAdapter(session, 'grad');
    const parts = open.weights.head.parts.length;
    session.destroy();
    open.weightMemory.destroy();
    return { results, grads, parts };
  });
}

const model = files();

it('is split, and gives the numbers of a matrix in one piece', async () => {
  const limits = { maxStorageBufferBindingSize: 2 ** 27, maxBufferSize: 2 ** 28 };
  const small = await openGpu(await dawn({ software: true }), { limits });
  expect(small.device.limits.maxStorageBufferBindingSize).toBe(2 ** 27);
  expect(small.device.limits.maxBufferSize).toBe(2 ** 28);
  const split = await step(small);
  const whole = await step(testGpu());
  expect([split.parts, whole.parts]).toEqual([2, 1]);
  for (const [i, value] of split.results.entries()) {
    expect(Math.abs(value - whole.results[i]), `result ${i}`).toBeLessThan(1e-6 * Math.max(1, Math.abs(value)));
  }
  for (const [name, { values }] of whole.grads) {
    expect(Math.hypot(...values), name).toBeGreaterThan(0);
    expect(relativeL2(split.grads.get(name)!.values, values), name).toBeLessThan(1e-5);
  }
  small.device.destroy();
});
