/** GPU memory of forward passes alone: scoring and generation. The same table is what a plan shows and what is allocated. */
import { type BufferSpec, bufferSpec } from '../gpu/memory';
import type { LlamaConfig } from '../model/config';
import { attentionWidths, mlpStretch, mlpWidths } from '../model/layer-values';
import type { LoraLayout } from '../model/lora';
import type { DeviceLimits } from '../model/plan';
import { cacheWidth, decodePartialValues, PICK_BYTES } from '../ops/decode';
import { PARTIAL_VALUES } from '../ops/tile-choice';

/** Most that one pass may hold. */
export interface InferenceCapacity {
  /** Tokens of a packed pass. */
  tokens: number;
  /** Attention tiles of a packed pass. */
  tiles: number;
  /** Longest single sequence, what is generated included. */
  positions: number;
  /** Rows of hidden states that scoring shows the head, and their targets. */
  rows: number;
  entries: number;
  /** Generation: sequences that grow at the same time, each with `positions` rows of the cache. 0: no cache. */
  sequences: number;
}

/** Greedy steps between two readbacks, at most. */
export const MOST_STEPS = 16;

/** Logits that scoring makes at a time. */
export const SCORE_TILE = { rows: 1024, columns: 8192 } as const;

const roundUp = (value: number, to: number) => Math.ceil(value / to) * to;

/** Rows and columns of a tile of logits when scoring. */
export const scoreTile = (c: LlamaConfig, capacity: InferenceCapacity) => ({
  rows: Math.min(Math.max(1, capacity.rows), SCORE_TILE.rows),
  columns: Math.min(roundUp(c.vocabSize, 4), SCORE_TILE.columns),
});

/** An adapter that changes nothing, for a model without one. */
export const noLora = (c: LlamaConfig): LoraLayout => ({
  rank: 0,
  paddedRank: 0,
  scale: 0,
  slabs: [],
  layers: Array.from({ length: c.layers }, () => ({})),
  parameters: 0,
  doraScales: 0,
});

/** Every buffer beside the weights. `ownAdapter` false: the adapter's slabs belong to somebody else. */
export function inferenceSpecs(
  c: LlamaConfig,
  lora: LoraLayout,
  capacity: InferenceCapacity,
  ownAdapter: boolean,
): BufferSpec[] {
  const { tokens, tiles, positions, rows, entries, sequences } = capacity;
  const specs: BufferSpec[] = [];
  const add = (name: string, group: BufferSpec['group'], values: number) =>
    specs.push(bufferSpec(name, group, values * 4));
  if (ownAdapter) {
    lora.slabs.forEach((length, i) => {
      add(`lora.param.${i}`, 'lora', length);
    });
    if (lora.doraScales) add('dora.scale', 'lora', 2 * lora.doraScales);
  }
  const stretch = mlpStretch(c, { ...capacity, pairs: 0 });
  add('hidden', 'activations', tokens * c.hiddenSize);
  for (const [name, width] of Object.entries(attentionWidths(c, lora))) {
    add(`act.${name}`, 'activations', tokens * width);
  }
  for (const [name, width] of Object.entries(mlpWidths(c, lora))) add(`act.${name}`, 'activations', stretch * width);
  add('matmul.partials', 'activations', PARTIAL_VALUES);
  if (rows) {
    const tile = scoreTile(c, capacity);
    add('head.tile', 'head', tile.rows * tile.columns);
    add('head.stats', 'head', rows * 4);
    add('head.z', 'head', entries);
    add('pack.entries', 'other', entries * 4);
  }
  add('head.normed', 'head', Math.max(rows, sequences) * c.hiddenSize);
  if (sequences) {
    for (let i = 0; i < c.layers; i++) add(`cache.${i}`, 'cache', sequences * positions * cacheWidth(c));
    add('decode.partials', 'activations', decodePartialValues(c, sequences, positions));
    add('decode.logits', 'head', sequences * roundUp(c.vocabSize, 4));
    add('decode.picks', 'head', (MOST_STEPS * sequences * PICK_BYTES) / 4);
    add('pack.cacheRows', 'other', tokens);
  }
  add('pack.ids', 'other', tokens);
  add('pack.positions', 'other', tokens);
  add('pack.tiles', 'other', tiles * 8);
  add('pack.rows', 'other', Math.max(rows, sequences));
  add('rope.table', 'other', positions * c.headDim);
  return specs;
}

/** Sequences whose caches fit the device's bindings and `room` bytes, at most `wanted`; 0 when not even one does. */
export function cachedSequences(
  c: LlamaConfig,
  limits: DeviceLimits,
  positions: number,
  wanted: number,
  room: number,
): number {
  const perLayer = positions * cacheWidth(c) * 4;
  const binding = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
  const bindable = Math.min(
    Math.floor(binding / perLayer),
    Math.floor(binding / (4 * decodePartialValues(c, 1, positions))),
    Math.floor(binding / (4 * roundUp(c.vocabSize, 4))),
  );
  return Math.max(0, Math.min(wanted, bindable, Math.floor(room / (perLayer * c.layers))));
}
