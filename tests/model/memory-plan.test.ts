/** The table of GPU memory: for the published models at their true sizes, and against what the engine allocates. */
import { describe, expect, it } from 'vitest';
import type { ModelFiles } from '../../src/formats/bytes';
import { Checkpoint } from '../../src/formats/checkpoint';
import { type BufferSpec, totalBytes } from '../../src/gpu/memory';
import { type LlamaConfig, parseConfig } from '../../src/model/config';
import { type LoadOptions, loadModel } from '../../src/model/load';
import { loraLayout } from '../../src/model/lora';
import {
  bindableTokens,
  type DeviceLimits,
  type PackCapacity,
  type RunOptions,
  runSpecs,
  slabLimit,
  weightSpecs,
  weightTables,
} from '../../src/model/plan';
import { Session } from '../../src/model/session';
import { checkpointSpecs, checkpointTables } from '../../src/model/weights';
import { DEFAULT_HPARAMS, type HParams, TARGET_MODULES } from '../../src/train/hparams';
import { planTraining } from '../../src/train/run-plan';
import { randomModel, randomPair, TINY_SHAPE } from '../reference/random-model';
import { createRng } from '../reference/rng';
import { folderFiles, repositoryPath } from '../support/files';
import { checkpointFiles, device, testGpu } from './support';

const base = {
  vocabSize: 128256,
  maxPositions: 8192,
  rmsNormEps: 1e-5,
  rope: { theta: 5e5, type: 'default', factor: 1, lowFreqFactor: 1, highFreqFactor: 1, originalMaxPositions: 8192 },
} as const;

/** Architectures of the published models (spec 8). */
const MODELS: Record<string, LlamaConfig> = {
  'Llama-3.2-1B': {
    ...base,
    hiddenSize: 2048,
    intermediateSize: 8192,
    layers: 16,
    heads: 32,
    kvHeads: 8,
    headDim: 64,
    tieWordEmbeddings: true,
  },
  'Llama-3.2-3B': {
    ...base,
    hiddenSize: 3072,
    intermediateSize: 8192,
    layers: 28,
    heads: 24,
    kvHeads: 8,
    headDim: 128,
    tieWordEmbeddings: true,
  },
  'Llama-3-8B': {
    ...base,
    hiddenSize: 4096,
    intermediateSize: 14336,
    layers: 32,
    heads: 32,
    kvHeads: 8,
    headDim: 128,
    tieWordEmbeddings: false,
  },
};

const ROOMY: DeviceLimits = { maxBufferSize: 2 ** 32 - 4, maxStorageBufferBindingSize: 2 ** 31 - 4 };
const SMALL: DeviceLimits = { maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27 };
const LENGTH = 1024;

/** Pairs of two sequences of 1,024 tokens each, that share a prompt of `shared` tokens. */
function capacity(pairs: number, shared: number): PackCapacity {
  const perPair = 2 * LENGTH - shared;
  return {
    tokens: pairs * perPair,
    rows: pairs * perPair,
    entries: pairs * (perPair + 1),
    tiles: pairs * Math.ceil(perPair / 32 + 3),
    pairs,
    positions: LENGTH,
  };
}

function planned(name: string, pairs: number, shared: number, limits = ROOMY, options: Partial<RunOptions> = {}) {
  const config = MODELS[name];
  const weights = weightTables(config, (tensor) => (tensor.includes('_proj') ? 'NF4' : 'BF16'));
  const settings = { lora_r: 16, lora_alpha: 32, use_rslora: false, target_modules: TARGET_MODULES };
  const lora = loraLayout(config, settings, slabLimit(limits));
  const run = { optim: 'adamw_torch', gradient_checkpointing: true, ...options } as const;
  return [...weightSpecs(weights, limits), ...runSpecs(config, lora, capacity(pairs, shared), run)];
}

const gigabytes = (specs: readonly BufferSpec[]) => totalBytes(specs) / 1e9;

describe('plans of the published models: NF4, rank 16, two sequences of 1,024 tokens a pair', () => {
  it.each([
    ['Llama-3-8B', 1, 7.0],
    ['Llama-3.2-1B', 2, 2.5],
  ] as const)('%s with %i pair(s) stays under %f GB, whether or not a prompt is shared', (name, pairs, limit) => {
    const half = gigabytes(planned(name, pairs, LENGTH / 2, ROOMY, { keep_bytes: 0 }));
    const none = gigabytes(planned(name, pairs, 0, ROOMY, { keep_bytes: 0 }));
    expect(half).toBeLessThan(none);
    expect(none).toBeLessThan(limit);
    // Not by leaving things out: weights, adapter, gradients, moments and checkpoints are all there.
    const parameters = { 'Llama-3-8B': 41_943_040, 'Llama-3.2-1B': 11_272_192 }[name];
    const { layers, hiddenSize } = MODELS[name];
    const floor = 16 * parameters + (layers + 1) * pairs * 2 * LENGTH * hiddenSize * 4;
    const linear = { 'Llama-3-8B': 6_979_321_856, 'Llama-3.2-1B': 973_078_528 }[name];
    const head = MODELS[name].vocabSize * hiddenSize * 2;
    expect(none * 1e9).toBeGreaterThan(floor + 0.5158 * linear + head);
  });

  it.each([
    ['Llama-3-8B', 1, 7.0],
    ['Llama-3.2-3B', 1, 4.0],
    ['Llama-3.2-1B', 2, 2.9],
  ] as const)('%s with %i pair(s) stays under %f GB with what is kept unasked', (name, pairs, limit) => {
    expect(gigabytes(planned(name, pairs, 0))).toBeLessThan(limit);
  });

  it.each([0, 1e8, 7e8, 1.1e9, 2e9, 5e9, 9e9])(
    'spends at most keep_bytes %i on kept values, and most of it',
    (keep_bytes) => {
      const values = (options: Partial<RunOptions>) =>
        totalBytes(planned('Llama-3.2-1B', 2, 0, ROOMY, options).filter(({ name }) => name.startsWith('act.')));
      const spent = values({ keep_bytes }) - values({ keep_bytes: 0 });
      const all = values({ gradient_checkpointing: false }) - values({ keep_bytes: 0 });
      // One layer's gate and up is the largest thing that may not fit any more; norms and silu are never kept.
      expect(spent).toBeLessThanOrEqual(keep_bytes);
      expect(spent).toBeGreaterThanOrEqual(Math.min(keep_bytes - 4 * 2 ** 26, 0.65 * all));
    },
  );

  it('keeps LoRA inputs and attention first, then the products, layer by layer', () => {
    const kept = (keep_bytes: number) => {
      const names = planned('Llama-3.2-1B', 2, 0, ROOMY, { keep_bytes }).map(({ name }) => name.split('.'));
      const of = (value: string) =>
        new Set(names.filter(([a, b, c]) => a === 'act' && b === value && c).map((n) => n[2])).size;
      return ['uDown', 'attn', 'lse', 'mid', 'qkv', 'gateUp', 'normed', 'act'].map(of);
    };
    expect(kept(0)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    expect(kept(6e8)).toEqual([16, 16, 16, 1, 0, 0, 0, 0]);
    expect(kept(1.1e9)).toEqual([16, 16, 16, 16, 1, 0, 0, 0]);
    expect(kept(3e9)).toEqual([16, 16, 16, 16, 16, 4, 0, 0]);
    expect(kept(9e9)).toEqual([16, 16, 16, 16, 16, 16, 0, 0]);
  });

  it('saves 6 bytes a trainable parameter with 8-bit moments', () => {
    const moments = (optim: RunOptions['optim']) =>
      totalBytes(planned('Llama-3-8B', 1, 512, ROOMY, { optim }).filter((s) => s.group === 'moments'));
    const perParameter = (moments('adamw_torch') - moments('adamw_8bit')) / 41_943_040;
    // Eight bytes become two, and each block of 256 adds 8 bytes of maxima and 16 of its table.
    expect(perParameter).toBeCloseTo(6 - 24 / 256, 3);
  });

  it('keeps no copy of an untied embedding', () => {
    const names = planned('Llama-3-8B', 1, 512).map((s) => s.name);
    expect(names.filter((n) => n.includes('embed_tokens'))).toEqual([]);
    expect(names).toContain('lm_head.weight#0');
    expect(planned('Llama-3.2-1B', 1, 512).map((s) => s.name)).toContain('model.embed_tokens.weight#0');
  });

  it.each(Object.keys(MODELS))('%s fits bindings of 128 MiB and buffers of 256 MiB', (name) => {
    const specs = planned(name, 2, 0, SMALL);
    for (const { name: buffer, bytes } of specs) expect(bytes, buffer).toBeLessThanOrEqual(2 ** 27);
    const config = MODELS[name];
    const matrix = config.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight';
    const parts = specs.filter((s) => s.name.startsWith(`${matrix}#`));
    expect(parts.length).toBe(Math.ceil((config.vocabSize * config.hiddenSize * 2) / 2 ** 27));
    expect(totalBytes(parts)).toBe(config.vocabSize * config.hiddenSize * 2);
    const longest = bindableTokens(config, SMALL);
    expect(longest).toBeGreaterThan(2 * 2 * LENGTH);
    expect(
      longest * Math.max(config.hiddenSize, (config.heads + 2 * config.kvHeads) * config.headDim) * 4,
    ).toBeLessThan(2 ** 27 + 1);
  });
});

describe('the plan is what is allocated, to the byte', () => {
  const untied = randomModel(createRng(1), { ...TINY_SHAPE, intermediate: 20 }, false);
  it.each([
    ['stories-260k', () => folderFiles(repositoryPath('public/models/stories-260k')), {}],
    [
      'pocket-15m-bnb-4bit',
      () => folderFiles(repositoryPath('public/models/pocket-15m-bnb-4bit')),
      { optim: 'adamw_8bit' },
    ],
    ['a tiny untied model with DoRA', () => Promise.resolve(checkpointFiles(untied)), { use_dora: true }],
    [
      'stories-260k, quantised as it loads, dropout, nothing recomputed',
      () => folderFiles(repositoryPath('public/models/stories-260k')),
      { quantize: 'nf4', lora_dropout: 0.1, disable_dropout: false, gradient_checkpointing: false },
    ],
  ] as [string, () => Promise<ModelFiles>, Partial<HParams> & LoadOptions][])('%s', async (_, files, options) => {
    const { quantize, ...changes } = options;
    const checkpoint = await Checkpoint.open(await files());
    const config = parseConfig(checkpoint.config);
    const weightOptions = quantize ? { quantize: {} } : {};
    const tables = checkpointTables(checkpoint, config, weightOptions);
    const weights = checkpointSpecs(checkpoint, tables, device.limits, weightOptions);

    const storage = recordStorage();
    try {
      const open = await loadModel(testGpu(), await files(), undefined, { quantize });
      // What quantising needed on the way is gone.
      expect(storage.alive()).toBe(totalBytes(weights));
      const hparams = { ...DEFAULT_HPARAMS, lora_r: 6, ...changes };
      const rng = createRng(3);
      const pairs = Array.from({ length: 5 }, () => randomPair(rng, 90, 20, 15, 9));
      const plan = planTraining(config, device.limits, { attentionTile: 16 }, hparams, pairs, []);
      const session = await Session.create(open, plan.lora, plan.capacity, hparams);
      expect(storage.alive()).toBe(totalBytes(weights) + totalBytes(plan.buffers));
      session.destroy();
      expect(storage.alive()).toBe(totalBytes(weights));
      open.weightMemory.destroy();
      expect(storage.alive()).toBe(0);
    } finally {
      storage.stop();
    }
  });
});

/** Counts the bytes of storage buffers that are created and not yet destroyed. */
function recordStorage() {
  const original = device.createBuffer;
  const alive = new Map<GPUBuffer, number>();
  device.createBuffer = (descriptor) => {
    const buffer = original.call(device, descriptor);
    if (!(descriptor.usage & GPUBufferUsage.STORAGE)) return buffer;
    alive.set(buffer, descriptor.size);
    const destroy = buffer.destroy;
    buffer.destroy = () => {
      alive.delete(buffer);
      return destroy.call(buffer);
    };
    return buffer;
  };
  return {
    alive: () => [...alive.values()].reduce((a, b) => a + b, 0),
    stop: () => {
      device.createBuffer = original;
    },
  };
}
