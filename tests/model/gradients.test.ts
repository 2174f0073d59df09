/** A whole small model on the GPU: loss and the gradient of every adapter tensor against the float64 reference. */
import { describe, expect, test } from 'vitest';
import type { TokenizedPair } from '../../src/data/types';
import type { KernelProfile } from '../../src/gpu/profile';
import { downloadAdapter, uploadAdapter } from '../../src/model/adapter';
import type { OpenModel } from '../../src/model/load';
import { loraLayout } from '../../src/model/lora';
import type { PackCapacity } from '../../src/model/plan';
import { Session } from '../../src/model/session';
import { PAIR_RESULT } from '../../src/ops/orpo_loss';
import { TARGET_MODULES } from '../../src/train/hparams';
import { packPairs as referencePack } from '../reference/batch';
import type { LlamaShape, Projection } from '../reference/layer';
import { type Adapter, type LlamaModel, lossAndGradients } from '../reference/model';
import { randomAdapter, randomModel, randomPair, TINY_SHAPE } from '../reference/random-model';
import { createRng } from '../reference/rng';
import { ropeInvFreq } from '../reference/rope';
import { relativeL2 } from '../support/close';
import { checked } from '../support/gpu';
import { adapterMap, capacityFor, device, jittered, openInParts, openModel, packOf, scalesOf } from './support';

const BETA = 0.5;
/** Grouped queries, an odd vocabulary, no width a multiple of a tile. */
const SHAPE: LlamaShape = { ...TINY_SHAPE, intermediate: 20 };

interface Options {
  /** Micro-batches of each pass. */
  passes?: TokenizedPair[][][];
  checkpointing?: boolean;
  headTile?: PackCapacity['headTile'];
  targets?: readonly Projection[];
  nllOnPrompt?: boolean;
}

const rng = createRng(41);
const micros = [
  [randomPair(rng, SHAPE.vocab, 4, 3, 5), randomPair(rng, SHAPE.vocab, 1, 2, 1)],
  [randomPair(rng, SHAPE.vocab, 19, 4, 3, 2), randomPair(rng, SHAPE.vocab, 2, 1, 6)],
];

/** Gradients and pair results of one step on the GPU. */
async function onGpu(open: OpenModel, adapter: Adapter, options: Options = {}) {
  const { passes = [micros], checkpointing = true, nllOnPrompt = true, targets = TARGET_MODULES } = options;
  const { rank, scale } = Object.values(adapter[0])[0];
  const lora = loraLayout(
    open.config,
    { lora_r: rank, lora_alpha: rank * scale, use_rslora: false, target_modules: targets },
    2 ** 27,
  );
  const tile = open.gpu.profile.attentionTile;
  const all = passes.flat();
  const scales = scalesOf(all, nllOnPrompt, BETA);
  let at = 0;
  const packs = passes.map((groups) => {
    const own = scales.slice(at, at + groups.length);
    at += groups.length;
    return packOf(groups.flat(), own.flat(), nllOnPrompt, tile);
  });
  const run = { optim: 'adamw_torch', gradient_checkpointing: checkpointing } as const;
  return checked(device, async () => {
    const session = await Session.create(open, lora, capacityFor(packs, options.headTile), run);
    uploadAdapter(session, adapterMap(adapter));
    const results: number[][] = [];
    for (const [i, pack] of packs.entries()) {
      await session.upload(pack);
      await session.forward(pack);
      await session.backward(pack, i > 0);
      const bytes = await open.cmd.read({ buffer: session.memory.get('pack.results') }, pack.pairs * 32);
      for (let p = 0; p < pack.pairs; p++) results.push([...new Float32Array(bytes, p * 32, 8)]);
    }
    const grads = await downloadAdapter(session, 'grad');
    session.destroy();
    return { grads, results };
  });
}

/** The longest sums of a pass: intermediate width, vocabulary, tokens of a pack. */
const longestSum = (shape: LlamaShape) => Math.max(shape.intermediate, shape.hidden, shape.vocab, 50);

function compare(
  model: LlamaModel,
  adapter: Adapter,
  gpu: Awaited<ReturnType<typeof onGpu>>,
  { nllOnPrompt = true }: Options = {},
) {
  const batch = referencePack(micros, { nllOnPrompt });
  const exact = lossAndGradients(model, adapter, batch, { beta: BETA });
  const moved = lossAndGradients(...jittered(model, adapter, createRng(9)), batch, { beta: BETA });
  const sums = longestSum(model.shape);
  expect([...gpu.grads.keys()].sort()).toEqual([...exact.grads.keys()].sort());
  for (const [name, grad] of exact.grads) {
    const allowed = sums * relativeL2(moved.grads.get(name)!, grad);
    expect(allowed, name).toBeLessThan(1e-3);
    expect(relativeL2(gpu.grads.get(name)!.values, grad), name).toBeLessThan(allowed);
  }
  // A single weight of the last layer off by a typical one shows in most gradients.
  const wrong = structuredClone(model);
  if (model.lmHead === model.embed) wrong.lmHead = wrong.embed;
  wrong.layers.at(-1)!.down_proj[7] += 0.1;
  const off = lossAndGradients(wrong, adapter, batch, { beta: BETA });
  const seen = [...off.grads].filter(([name, grad]) => {
    const allowed = sums * relativeL2(moved.grads.get(name)!, exact.grads.get(name)!);
    return relativeL2(gpu.grads.get(name)!.values, grad) > allowed;
  });
  expect(seen.length).toBeGreaterThan(exact.grads.size / 2);

  // Metrics of micro-batches of two pairs.
  exact.micro.forEach(({ metrics }, m) => {
    const pairs = gpu.results
      .slice(2 * m, 2 * m + 2)
      .map((r) => Object.fromEntries(PAIR_RESULT.map((n, i) => [n, r[i]])));
    const mean = (key: string) => (pairs[0][key] + pairs[1][key]) / 2;
    const near = (actual: number, name: keyof typeof metrics) => {
      const noise = Math.abs(moved.micro[m].metrics[name] - metrics[name]);
      expect(Math.abs(actual - metrics[name]), name).toBeLessThan(sums * (noise + 2 ** -23 * Math.abs(metrics[name])));
    };
    near(mean('logpChosen'), 'logps/chosen');
    near(mean('logpRejected'), 'logps/rejected');
    near(mean('logOdds'), 'log_odds_chosen');
    near(mean('logOddsRatio'), 'log_odds_ratio');
  });
  return exact;
}

describe('gradients of a tiny model', () => {
  test('tied head; with and without gradient checkpointing to the bit', async () => {
    const model = randomModel(createRng(1), SHAPE, true);
    const adapter = randomAdapter(createRng(2), model, { rank: 3, scale: 2 });
    const open = await openModel(model);
    const again = await onGpu(open, adapter, { checkpointing: true });
    compare(model, adapter, again);
    const kept = await onGpu(open, adapter, { checkpointing: false });
    expect(kept).toEqual(again);
    open.weightMemory.destroy();
  });

  test('own head, logits in tiles of few rows and columns, several passes a step', async () => {
    const model = randomModel(createRng(3), SHAPE, false);
    const adapter = randomAdapter(createRng(4), model, { rank: 8, scale: 0.5 });
    const open = await openModel(model);
    compare(model, adapter, await onGpu(open, adapter, { headTile: { rows: 4, columns: 8 } }));
    compare(model, adapter, await onGpu(open, adapter, { headTile: { rows: 12, columns: 16 } }));
    compare(model, adapter, await onGpu(open, adapter, { passes: [[micros[0]], [micros[1]]] }));
    const nllOnPrompt = false;
    compare(model, adapter, await onGpu(open, adapter, { nllOnPrompt }), { nllOnPrompt });
    open.weightMemory.destroy();
  });

  test('llama3 RoPE scaling', async () => {
    const model = randomModel(createRng(5), { ...SHAPE, headDim: 8 }, true);
    // Short original context, so that all three branches of the scaling occur.
    const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 128 };
    model.invFreq = ropeInvFreq(8, 10000, {
      type: 'llama3',
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPosition: 128,
    });
    expect(new Set(ropeInvFreq(8, 10000).map((v, i) => Math.round((8 * model.invFreq[i]) / v))).size).toBeGreaterThan(
      2,
    );
    const adapter = randomAdapter(createRng(6), model, { rank: 1, scale: 2 });
    for (const rope of [
      { rope_scaling: { rope_type: 'llama3', ...scaling } },
      { rope_theta: undefined, rope_parameters: { rope_type: 'llama3', rope_theta: 10000, ...scaling } },
    ]) {
      const open = await openModel(model, { rope });
      compare(model, adapter, await onGpu(open, adapter));
      open.weightMemory.destroy();
    }
  });

  test('NF4 projections', async () => {
    const shape = { ...SHAPE, hidden: 32, intermediate: 44, headDim: 8 };
    const model = randomModel(createRng(7), shape, true);
    const open = await openModel(model, { nf4: true });
    const adapter = randomAdapter(createRng(8), model, { rank: 4, scale: 2 });
    compare(model, adapter, await onGpu(open, adapter));
    open.weightMemory.destroy();
  });

  test.each([
    ['F32', 44, 1024, [8, 8, 8, 8, 8, 4], [4, 4, 4, 4, 4, 4, 4, 4]],
    ['NF4', 180, 1536, [96, 84], [16, 16]],
  ])('weights in several buffers, %s', async (format, intermediate, limit, gate, down) => {
    const model = randomModel(createRng(14), { ...SHAPE, hidden: 32, intermediate, headDim: 8, vocab: 39 }, true);
    const open = await openInParts(model, limit, { nf4: format === 'NF4' });
    const rows = (name: string) => open.weights.get(`model.layers.1.mlp.${name}.weight`).parts.map((p) => p.rows);
    expect([rows('gate_proj'), rows('down_proj')]).toEqual([gate, down]);
    expect(open.weights.head.parts.length).toBeGreaterThan(3);
    const adapter = randomAdapter(createRng(15), model, { rank: 3, scale: 2 });
    compare(model, adapter, await onGpu(open, adapter, { headTile: { rows: 64, columns: 16 } }));
    open.weightMemory.destroy();
  });

  test.each([[['q_proj', 'v_proj']], [['down_proj']], [['k_proj', 'o_proj', 'up_proj']]] as [Projection[]][])(
    'LoRA on %s only',
    async (targets) => {
      const model = randomModel(createRng(10), SHAPE, true);
      const adapter = randomAdapter(createRng(11), model, { rank: 2, scale: 2, targets });
      const open = await openModel(model);
      compare(model, adapter, await onGpu(open, adapter, { targets }));
      open.weightMemory.destroy();
    },
  );

  test('the kernels of a GPU, with small tiles', async () => {
    const tile = { bm: 16, bn: 16, bk: 16, tm: 4, tn: 4 };
    const profile: KernelProfile = {
      tier: 'f32',
      direct: false,
      large: tile,
      small: tile,
      attentionTile: 16,
      rowThreads: 32,
    };
    const model = randomModel(createRng(12), SHAPE, false);
    const adapter = randomAdapter(createRng(13), model, { rank: 3, scale: 2 });
    const open = await openModel(model, {}, profile);
    compare(model, adapter, await onGpu(open, adapter, { headTile: { rows: 8, columns: 8 } }));
    open.weightMemory.destroy();
  });
});
