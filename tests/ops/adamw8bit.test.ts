import { describe, expect, it } from 'vitest';
import { dynamicMap } from '../../src/formats/nf4-codec';
import { packAdapter, unpackAdapter } from '../../src/model/adapter';
import type { LlamaConfig } from '../../src/model/config';
import { loraLayout, loraTensors } from '../../src/model/lora';
import { momentBlocks } from '../../src/model/moments';
import { adamw8bit } from '../../src/ops/adamw8bit';
import { AdamW, type AdamWKind } from '../reference/adamw';
import { createRng } from '../reference/rng';
import { relativeL2 } from '../support/close';
import { downloadU32 } from '../support/gpu';
import { cmd, device, input, profileCases, read, run } from './support';

/** Rank 6 is padded to 8, blocks end in mid-tensor (716 x 6, 700 x 6), and k_proj's tensors are small. */
const config: LlamaConfig = {
  vocabSize: 32,
  hiddenSize: 716,
  intermediateSize: 700,
  layers: 1,
  heads: 4,
  kvHeads: 1,
  headDim: 8,
  maxPositions: 32,
  rmsNormEps: 1e-5,
  tieWordEmbeddings: true,
  rope: { theta: 1e4, type: 'default', factor: 1, lowFreqFactor: 1, highFreqFactor: 1, originalMaxPositions: 32 },
};
const settings = { lora_r: 6, lora_alpha: 12, use_rslora: false, use_dora: true };
const lora = loraLayout(config, { ...settings, target_modules: ['k_proj', 'up_proj', 'down_proj'] }, 2 ** 27);
const specs = loraTensors(lora);
const names = specs.map((s) => `${s.lora.module} ${s.part}`);
const options = { beta1: 0.9, beta2: 0.999, weightDecay: 0.05 };
const RATE = 0.01;
const STEPS = 5;

const rng = createRng(8);
const draw = (scale: (i: number) => number) => {
  const values = lora.slabs.map((n) => new Float32Array(n));
  for (const { slab, offset, shape, columns, stride } of specs) {
    const size = shape.reduce((a, b) => a * b, 1);
    for (let i = 0; i < size; i++) {
      // `|| 0`: a moment of -0 turns into a small negative number (codes keep signs), which the reference starts without.
      values[slab][offset + Math.floor(i / columns) * stride + (i % columns)] = scale(i) * rng.normal() || 0;
    }
  }
  return values;
};
const start = draw(() => 0.1);
// Gradients of many magnitudes, some exactly zero.
const grads = Array.from({ length: STEPS }, () => draw((i) => (i % 7 === 0 ? 0 : 10 ** -(i % 5))));
const CLIP = 0.5;

const tensorsOf = (slab: Float32Array): Map<string, Float64Array> =>
  new Map([...unpackAdapter(lora, [slab]).values()].map((t, i) => [names[i], Float64Array.from(t.values)]));

function reference(kind: AdamWKind): Map<string, Float64Array> {
  const params = tensorsOf(start[0]);
  const adam = new AdamW({ kind, ...options, eps: 1e-6 });
  for (const [grad] of grads) {
    const clipped = tensorsOf(grad);
    for (const g of clipped.values()) for (let i = 0; i < g.length; i++) g[i] *= CLIP;
    adam.step(params, clipped, RATE);
  }
  return params;
}

const updates = (params: Map<string, Float64Array>) => {
  const before = tensorsOf(start[0]);
  return new Map([...params].map(([name, p]) => [name, p.map((x, i) => x - before.get(name)![i])]));
};

describe.each(profileCases)('8-bit AdamW, %s', (_, profile) => {
  it('takes the steps of the reference, tensor by tensor, and leaves the padding alone', async () => {
    const [blocks] = momentBlocks(lora);
    const padded = start[0].slice();
    const isPadding = new Uint8Array(padded.length).fill(1);
    for (const [i, value] of packAdapter(lora, ones())[0].entries()) if (value === 1) isPadding[i] = 0;
    for (let i = 0; i < padded.length; i++) if (isPadding[i]) padded[i] = 7;
    expect(isPadding.reduce((a, b) => a + b)).toBeGreaterThan(0);
    const param = input(padded);
    const states = input(new Uint32Array(blocks.stateWords + 1).fill(0).fill(12345, blocks.stateWords));
    const table = input(blocks.table);
    const maps = input(Float32Array.from([...dynamicMap(true), ...dynamicMap(false)]));
    const clip = input(Float32Array.of(1, CLIP));
    for (const [i, [grad]] of grads.entries()) {
      const slab = { param, grad: input(grad), table, states, blocks: blocks.blocks, rank: 6, paddedRank: 8 };
      await run(() => adamw8bit(cmd, profile, { ...options, epsilon: 1e-6 }, slab, maps, clip, i + 1, RATE));
    }
    const after = await read(param);
    for (let i = 0; i < after.length; i++) if (isPadding[i]) expect(after[i]).toBe(7);
    expect((await downloadU32(device, states.buffer)).at(-1)).toBe(12345);

    const ours = updates(tensorsOf(after));
    const theirs = updates(reference('adamw_8bit'));
    const exact = updates(reference('adamw_bnb_32bit'));
    for (const [name, update] of ours) {
      // A moment that rounds to the neighbouring code in f32 moves one element by a per cent or so.
      expect(relativeL2(update, theirs.get(name)!), name).toBeLessThan(1e-3);
      const distance = relativeL2(update, exact.get(name)!);
      if (update.length < 4096) expect(distance, name).toBeLessThan(1e-5);
      else expect(distance, `${name} is not really 8-bit`).toBeGreaterThan(5e-3);
    }
  });
});

it('takes one byte a moment and two absmax a block', () => {
  const layout = loraLayout(config, { ...settings, use_dora: false, target_modules: ['down_proj'] }, 2 ** 27);
  const [{ stateWords, blocks }] = momentBlocks(layout);
  const sizes = [6 * 700, 716 * 6];
  const perTensor = sizes.map((n) => Math.ceil(n / 256));
  expect(blocks).toBe(perTensor[0] + perTensor[1]);
  expect(stateWords * 4).toBe(2 * (sizes[0] + sizes[1]) + 8 * blocks);
});

function ones() {
  const zeros = unpackAdapter(
    lora,
    lora.slabs.map((n) => new Float32Array(n)),
  );
  for (const tensor of zeros.values()) tensor.values.fill(1);
  return zeros;
}
