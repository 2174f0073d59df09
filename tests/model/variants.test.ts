/** DoRA, LoRA dropout and the second half of a layer in stretches: against float64, and the same to the bit whatever is kept. */
import { describe, expect, test } from 'vitest';
import type { AdapterTensor } from '../../src/formats/peft';
import type { KernelProfile } from '../../src/gpu/profile';
import { downloadAdapter, initialAdapter, uploadAdapter } from '../../src/model/adapter';
import type { DropoutPass } from '../../src/model/group-rows';
import type { OpenModel } from '../../src/model/load';
import { loraLayout } from '../../src/model/lora';
import type { RunOptions } from '../../src/model/plan';
import { Session } from '../../src/model/session';
import { PAIR_RESULT } from '../../src/ops/orpo_loss';
import { TARGET_MODULES } from '../../src/train/hparams';
import { packPairs as referencePack } from '../reference/batch';
import { doraNorm } from '../reference/lora';
import { adapterTensors, lossAndGradients } from '../reference/model';
import { randomAdapter, randomModel, randomPair, TINY_SHAPE } from '../reference/random-model';
import { createRng } from '../reference/rng';
import { relativeL2 } from '../support/close';
import { checked } from '../support/gpu';
import { adapterMap, capacityFor, device, openModel, packOf, scalesOf } from './support';

const BETA = 0.5;
const RANK = 3;
const SHAPE = { ...TINY_SHAPE, intermediate: 20 };
const rng = createRng(17);
// 150 tokens and more: three stretches of 64.
const micros = [[randomPair(rng, SHAPE.vocab, 40, 30, 25), randomPair(rng, SHAPE.vocab, 30, 20, 22)]];
const scales = scalesOf(micros, true, BETA).flat();

interface Run extends Partial<RunOptions> {
  dora?: boolean;
  stretch?: number;
  dropout?: DropoutPass;
  profile?: KernelProfile;
}

/** Loss and gradients of one step. */
async function step(open: OpenModel, adapter: ReadonlyMap<string, AdapterTensor>, run: Run = {}) {
  const { dora = false, stretch, dropout, ...options } = run;
  const settings = { lora_r: RANK, lora_alpha: 2 * RANK, use_rslora: false, use_dora: dora };
  const lora = loraLayout(open.config, { ...settings, target_modules: TARGET_MODULES }, 2 ** 27);
  const pack = packOf(micros.flat(), scales, true, open.gpu.profile.attentionTile);
  expect(pack.tokens).toBeGreaterThan(130);
  return checked(device, async () => {
    const all = { optim: 'adamw_torch', gradient_checkpointing: true, ...options } as const;
    const session = await Session.create(open, lora, { ...capacityFor([pack]), stretch }, all);
    const runBytes = session.memory.bytes;
    uploadAdapter(session, adapter);
    await session.upload(pack);
    const before = open.cmd.dispatches;
    session.setDropout(dropout ?? null);
    await session.forward(pack);
    const bytes = await open.cmd.read({ buffer: session.memory.get('pack.results') }, pack.pairs * 32);
    await session.backward(pack, false);
    const dispatches = open.cmd.dispatches - before;
    const grads = await downloadAdapter(session, 'grad');
    const values = await downloadAdapter(session);
    session.destroy();
    const results = new Float32Array(bytes);
    const of = (pair: number, name: (typeof PAIR_RESULT)[number]) => results[pair * 8 + PAIR_RESULT.indexOf(name)];
    const loss = scales.reduce((sum, s, i) => sum + s.nll * of(i, 'nllSum') - s.oddsRatio * of(i, 'logOddsRatio'), 0);
    return { loss, grads, values, dispatches, runBytes };
  });
}

const flat = (tensors: ReadonlyMap<string, AdapterTensor>) =>
  Float64Array.from([...tensors.keys()].sort().flatMap((name) => [...tensors.get(name)!.values]));

describe('DoRA', () => {
  const model = randomModel(createRng(1), SHAPE, true);
  const adapter = randomAdapter(createRng(2), model, { rank: RANK, scale: 2, dora: true });
  const tensors = new Map([...adapterMap(adapter)].map(([name, t]) => [name, fixed(name, t)]));

  test.each([
    ['F32 weights', {}],
    ['F32 weights, in stretches, nothing recomputed', { stretch: 64, gradient_checkpointing: false }],
  ] as const)('gradients and loss against float64: %s', async (_, run) => {
    const open = await openModel(model);
    const gpu = await step(open, tensors, { dora: true, ...run });
    const batch = referencePack(micros, { nllOnPrompt: true });
    const exact = lossAndGradients(model, adapter, batch, { beta: BETA });
    expect([...gpu.grads.keys()].sort()).toEqual([...exact.grads.keys()].sort());
    expect([...gpu.grads.keys()].filter((name) => name.endsWith('magnitude_vector')).length).toBe(7 * SHAPE.layers);
    for (const [name, grad] of exact.grads) {
      expect(relativeL2(gpu.grads.get(name)!.values, grad), name).toBeLessThan(3e-5);
    }
    // Without its magnitudes the same adapter has other gradients.
    const lora = adapter.map((loras) =>
      Object.fromEntries(Object.entries(loras).map(([name, l]) => [name, { ...l, magnitude: undefined }])),
    ) as typeof adapter;
    const plain = lossAndGradients(model, lora, batch, { beta: BETA });
    const far = [...plain.grads].filter(([name, g]) => relativeL2(gpu.grads.get(name)!.values, g) > 1e-3);
    expect(far.length).toBe(plain.grads.size);
  });

  test('an adapter without magnitudes starts from the norms of the weights', async () => {
    const open = await openModel(model);
    const settings = { lora_r: RANK, lora_alpha: 6, use_rslora: false, use_dora: true, target_modules: TARGET_MODULES };
    const fresh = initialAdapter(loraLayout(open.config, settings, 2 ** 27), 5);
    const { values, loss } = await step(open, fresh, { dora: true });
    const { loss: same } = await step(open, fresh);
    expect(Math.abs(loss - same)).toBeLessThan(2e-6 * same);
    for (const [i, layer] of model.layers.entries()) {
      const [outFeatures, inFeatures] = [SHAPE.hidden, SHAPE.intermediate];
      const zero = { a: new Float64Array(inFeatures), b: new Float64Array(outFeatures), rank: 1, scale: 0 };
      const norm = doraNorm(layer.down_proj, zero, { tokens: 0, inFeatures, outFeatures });
      const name = `base_model.model.model.layers.${i}.mlp.down_proj.lora_magnitude_vector`;
      expect(relativeL2(values.get(name)!.values, norm)).toBeLessThan(1e-6);
    }
    const half = new Map([...values].filter(([name]) => !name.includes('layers.1') || !name.includes('magnitude')));
    await expect(step(open, half, { dora: true })).rejects.toThrow(/magnitudes for some/);
  });
});

/** The test helper takes every tensor for a matrix. */
function fixed(name: string, tensor: AdapterTensor): AdapterTensor {
  return name.includes('magnitude') ? { ...tensor, shape: [tensor.values.length] } : tensor;
}

describe('LoRA dropout', () => {
  const model = randomModel(createRng(3), SHAPE, true);
  const tensors = adapterMap(randomAdapter(createRng(4), model, { rank: RANK, scale: 2 }));
  const dropout: DropoutPass = { p: 0.4, seed: 7, firstToken: 3 };
  const on = { lora_dropout: 0.4, disable_dropout: false, dropout };

  test('the gradient is that of the loss with its mask', async () => {
    const open = await openModel(model);
    const { grads } = await step(open, tensors, on);
    const gradient = flat(grads);
    const size = Math.hypot(...gradient);
    const h = 2e-3;
    const moved = (sign: number) =>
      new Map(
        [...tensors].map(([name, t]) => {
          const g = grads.get(name)!.values;
          return [name, { ...t, values: t.values.map((v, i) => v + (sign * h * g[i]) / size) }];
        }),
      );
    const slope = ((await step(open, moved(1), on)).loss - (await step(open, moved(-1), on)).loss) / (2 * h);
    expect(Math.abs(slope - size) / size).toBeLessThan(5e-3);
    // Along the gradient of another mask, or of none, the slope is another.
    const none = flat((await step(open, tensors)).grads);
    const cosine = none.reduce((sum, g, i) => sum + g * gradient[i], 0) / size / Math.hypot(...none);
    expect(cosine).toBeLessThan(0.97);
  });

  test('the same seed gives the same numbers, another seed others', async () => {
    const open = await openModel(model);
    const first = await step(open, tensors, on);
    expect((await step(open, tensors, on)).loss).toBe(first.loss);
    expect((await step(open, tensors, { ...on, dropout: { ...dropout, seed: 8 } })).loss).not.toBe(first.loss);
  });
});

describe('to the bit', () => {
  const model = randomModel(createRng(5), SHAPE, false);
  const lora = adapterMap(randomAdapter(createRng(6), model, { rank: RANK, scale: 2 }));
  const dora = new Map(
    [...adapterTensors(randomAdapter(createRng(6), model, { rank: RANK, scale: 2, dora: true }))].map(([name, v]) => [
      name,
      name.includes('magnitude')
        ? { name, shape: [v.length], values: Float32Array.from(v) }
        : { ...lora.get(name)!, values: Float32Array.from(v) },
    ]),
  );
  const dropout = { p: 0.25, seed: 1, firstToken: 0 };

  test.each([
    ['LoRA in stretches', lora, { stretch: 64 }],
    ['DoRA in stretches', dora, { dora: true, stretch: 64 }],
    ['dropout', lora, { lora_dropout: 0.25, disable_dropout: false, dropout, stretch: 64 }],
  ] as const)('%s: with and without gradient checkpointing', async (_, adapter, run) => {
    const open = await openModel(model);
    const [a, b] = [
      await step(open, adapter, { ...run, keep_bytes: 0 }),
      await step(open, adapter, { ...run, gradient_checkpointing: false }),
    ];
    expect(a.loss).toBe(b.loss);
    expect(flat(a.grads)).toEqual(flat(b.grads));
    expect(Math.hypot(...flat(a.grads))).toBeGreaterThan(0);
    expect(b.dispatches).toBeLessThan(a.dispatches);
    // More and more is kept, until only norms and silu are made again.
    const { dispatches, runBytes } = a;
    const seen = new Set([dispatches]);
    for (const keep_bytes of [-1, 2e4, 3e4, 5e4, 7e4, 1e6]) {
      const kept = await step(open, adapter, { ...run, keep_bytes });
      expect(kept.loss).toBe(a.loss);
      expect(flat(kept.grads)).toEqual(flat(a.grads));
      expect(kept.runBytes).toBeGreaterThan(runBytes);
      if (keep_bytes > 0) expect(kept.runBytes).toBeLessThanOrEqual(runBytes + keep_bytes);
      expect(kept.dispatches).toBeLessThan(dispatches);
      seen.add(kept.dispatches);
    }
    expect(seen.size).toBeGreaterThan(4);
    // Other stretches add up in another order, no more.
    const whole = await step(open, adapter, { ...run, stretch: undefined });
    expect(Math.abs(whole.loss - a.loss)).toBeLessThan(1e-6 * Math.abs(a.loss));
    expect(relativeL2(flat(whole.grads), flat(a.grads))).toBeLessThan(2e-6);
  });
});
