/**
 * The one table of GPU memory: what a model and a training run will allocate, worked out from sizes alone. The page
 * shows it before anything is downloaded; the engine allocates exactly these buffers.
 */
import { type BufferSpec, bufferSpec, totalBytes } from '../gpu/memory';
import type { KernelProfile } from '../gpu/profile';
import { partialCount } from '../ops/gradient_norm';
import { PARTIAL_VALUES } from '../ops/tile-choice';
import type { WeightFormat } from '../ops/weight';
import type { Optimizer } from '../train/hparams';
import { type LlamaConfig, projectionShapes } from './config';
import { AUTOMATIC_MOST, attentionWidths, layerSpecs, mlpStretch, mlpWidths, stretchTokens } from './layer-values';
import type { LoraLayout } from './lora';
import { BLOCK_WORDS, momentBlocks } from './moments';

export interface DeviceLimits {
  maxBufferSize: number;
  maxStorageBufferBindingSize: number;
}

/** Bytes that one binding may have. */
export const bindingLimit = (limits: DeviceLimits) =>
  Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);

/** Largest slab of adapter values, in bytes. */
export const slabLimit = (limits: DeviceLimits): number => Math.min(bindingLimit(limits), 2 ** 27);

const BITS: Record<WeightFormat, number> = { F32: 32, BF16: 16, F16: 16, NF4: 4 };

export interface WeightTable {
  name: string;
  rows: number;
  columns: number;
  format: WeightFormat;
}

export const EMBEDDING = 'model.embed_tokens.weight';

/** Names and shapes of every matrix and norm that goes to the GPU: an embedding only where the head uses it as well. */
export function weightTables(c: LlamaConfig, formatOf: (name: string) => WeightFormat): WeightTable[] {
  const tables: WeightTable[] = [];
  const add = (name: string, rows: number, columns: number, format = formatOf(name)) =>
    tables.push({ name, rows, columns, format });
  if (c.tieWordEmbeddings) add(EMBEDDING, c.vocabSize, c.hiddenSize);
  for (let i = 0; i < c.layers; i++) {
    const layer = `model.layers.${i}`;
    add(`${layer}.input_layernorm.weight`, 1, c.hiddenSize, 'F32');
    for (const [module, [rows, columns]] of Object.entries(projectionShapes(c))) {
      const inside = module.endsWith('_proj') && 'qkvo'.includes(module[0]) ? 'self_attn' : 'mlp';
      add(`${layer}.${inside}.${module}.weight`, rows, columns);
    }
    add(`${layer}.post_attention_layernorm.weight`, 1, c.hiddenSize, 'F32');
  }
  add('model.norm.weight', 1, c.hiddenSize, 'F32');
  if (!c.tieWordEmbeddings) add('lm_head.weight', c.vocabSize, c.hiddenSize);
  return tables;
}

/** Rows of each part of a matrix, so that no part exceeds what may be bound. */
export function partRows(table: WeightTable, limits: DeviceLimits): number[] {
  const perRow = (table.columns * BITS[table.format]) / 8;
  // A multiple of 4, since kernels read four results at a time.
  const most = Math.floor(bindingLimit(limits) / perRow / 4) * 4;
  if (most === 0) throw new RangeError(`${table.name}: this GPU cannot bind four rows of ${table.columns} values`);
  const parts: number[] = [];
  for (let left = table.rows; left > 0; left -= most) parts.push(Math.min(left, most));
  return parts;
}

export const NF4_TABLE = 272;

/** Words of the scales buffer of an NF4 matrix: map, code, nested scales, absmax codes (lib/weight.wgsl). */
export function scaleWords(elements: number, nested: boolean): number {
  const blocks = Math.ceil(elements / 64);
  return nested ? NF4_TABLE + Math.ceil(blocks / 256) + Math.ceil(blocks / 4) : NF4_TABLE + blocks;
}

export function weightSpecs(
  tables: readonly WeightTable[],
  limits: DeviceLimits,
  nested: (name: string) => boolean = () => true,
): BufferSpec[] {
  return tables.flatMap((table) => {
    const perRow = (table.columns * BITS[table.format]) / 8;
    const parts = partRows(table, limits).map((rows, i) => bufferSpec(`${table.name}#${i}`, 'weights', rows * perRow));
    if (table.format !== 'NF4') return parts;
    const words = scaleWords(table.rows * table.columns, nested(table.name));
    return [...parts, bufferSpec(`${table.name}.scales`, 'weights', words * 4)];
  });
}

/** Most that one packed pass may hold. */
export interface PackCapacity {
  tokens: number;
  rows: number;
  entries: number;
  tiles: number;
  pairs: number;
  /** Longest single sequence. */
  positions: number;
  /** Largest tile of logits; multiples of 4. By default as large as pays. */
  headTile?: { rows: number; columns: number };
  /** Tokens that the second half of a layer works on at a time, a multiple of 64. By default as many as 64 MiB allow. */
  stretch?: number;
}

export interface RunOptions {
  optim: Optimizer;
  gradient_checkpointing: boolean;
  /**
   * With gradient checkpointing: bytes that may be spent on values of the forward that the backward then need not make again
   * (model/layer-values). 0 keeps none; negative or absent leaves it to the plan.
   */
  keep_bytes?: number;
  lora_dropout?: number;
  disable_dropout?: boolean;
}

/** Share of a LoRA input's values that training drops. */
export const dropoutShare = ({ lora_dropout = 0, disable_dropout = true }: RunOptions): number =>
  disable_dropout ? 0 : lora_dropout;

/** Rows and vocabulary columns of one tile of logits. */
export function headTile(c: LlamaConfig, capacity: PackCapacity): { rows: number; columns: number } {
  const { rows, columns } = capacity.headTile ?? { rows: 1024, columns: 8192 };
  const vocab = Math.ceil(c.vocabSize / 4) * 4;
  return { rows: Math.min(capacity.rows, rows), columns: Math.min(vocab, columns) };
}

/** The most tokens of a pass whose widest rows still fit one binding. */
export function bindableTokens(c: LlamaConfig, limits: DeviceLimits): number {
  const widest = Math.max(c.hiddenSize, (c.heads + 2 * c.kvHeads) * c.headDim);
  return Math.floor(bindingLimit(limits) / (widest * 4));
}

/**
 * The tokens of a stretch (`PackCapacity.stretch`) that suit a device's kernels; undefined for the usual ones. Not by `keep_bytes`: sums
 * over tokens are made stretch by stretch, and that must not change a bit.
 */
export function plannedStretch(
  c: LlamaConfig,
  limits: DeviceLimits,
  { mlpBytes, spareMlpBytes }: Pick<KernelProfile, 'mlpBytes' | 'spareMlpBytes'>,
): number | undefined {
  const bytes = mlpBytes ?? (publishedBytes(c) <= AUTOMATIC_MOST ? spareMlpBytes : undefined);
  return bytes && stretchTokens(c, Math.min(bytes, bindingLimit(limits)));
}

/** Every buffer of a run beside the weights. */
export function runSpecs(c: LlamaConfig, lora: LoraLayout, capacity: PackCapacity, options: RunOptions): BufferSpec[] {
  const { tokens, rows, entries, tiles, pairs, positions } = capacity;
  const specs: BufferSpec[] = [];
  const add = (name: string, group: BufferSpec['group'], values: number) =>
    specs.push(bufferSpec(name, group, values * 4));

  lora.slabs.forEach((length, i) => {
    add(`lora.param.${i}`, 'lora', length);
    add(`lora.grad.${i}`, 'lora', length);
    if (options.optim === 'adamw_8bit') return;
    add(`lora.m.${i}`, 'moments', length);
    add(`lora.v.${i}`, 'moments', length);
  });
  if (options.optim === 'adamw_8bit') {
    momentBlocks(lora).forEach(({ blocks, stateWords }, i) => {
      add(`lora.state.${i}`, 'moments', stateWords);
      add(`lora.blocks.${i}`, 'moments', blocks * BLOCK_WORDS);
    });
    add('adamw.maps', 'moments', 512);
  }
  for (let i = 0; i <= c.layers; i++) add(`hidden.${i}`, 'checkpoints', tokens * c.hiddenSize);
  const widths = attentionWidths(c, lora);
  const mlp = mlpWidths(c, lora);
  const stretch = mlpStretch(c, capacity);
  add('grad.hidden', 'activations', tokens * c.hiddenSize);
  add('grad.normed', 'activations', tokens * c.hiddenSize);
  add('grad.attn', 'activations', tokens * widths.attn);
  add('grad.qkv', 'activations', tokens * widths.qkv);
  const narrow = tokens * Math.max(widths.uQkv, widths.uO);
  add('grad.u', 'activations', Math.max(narrow, stretch * Math.max(mlp.uGateUp, mlp.uDown)));
  if (lora.doraScales) add('dora.scale', 'lora', 2 * lora.doraScales);
  if (dropoutShare(options) > 0) {
    const attention = tokens * Math.max(c.hiddenSize, widths.attn);
    add('dropped', 'activations', Math.max(attention, stretch * c.intermediateSize));
  }
  add('delta', 'activations', tokens * c.heads);
  add('matmul.partials', 'activations', PARTIAL_VALUES);

  const tile = headTile(c, capacity);
  add('head.tile', 'head', tile.rows * tile.columns);
  add('head.normed', 'head', rows * c.hiddenSize);
  add('head.grad', 'head', rows * c.hiddenSize);
  add('head.stats', 'head', rows * 4);
  add('head.logits', 'head', rows * 2);
  add('head.z', 'head', entries);
  add('head.weights', 'head', entries);
  add('head.mean', 'head', c.hiddenSize);

  add('pack.ids', 'other', tokens);
  add('pack.positions', 'other', tokens);
  add('pack.tiles', 'other', tiles * 8);
  add('pack.rows', 'other', rows);
  add('pack.sides', 'other', rows);
  add('pack.rowEntries', 'other', rows + 1);
  add('pack.entries', 'other', entries * 4);
  add('pack.pairs', 'other', pairs * 8);
  add('pack.results', 'other', pairs * 8);
  add('rope.table', 'other', positions * c.headDim);
  add('norm.partials', 'other', partialCount(lora.slabs));
  add('norm.result', 'other', 4);
  return [...specs, ...layerSpecs(c, lora, capacity, options, totalBytes(specs) + publishedBytes(c))];
}

/** Bytes of the weights as 4-bit checkpoints have them: a run's plan must not depend on how they happen to be stored. */
function publishedBytes(c: LlamaConfig): number {
  const limits = { maxBufferSize: 2 ** 32, maxStorageBufferBindingSize: 2 ** 32 };
  return totalBytes(
    weightSpecs(
      weightTables(c, (name) => (/_proj\.weight$/.test(name) ? 'NF4' : 'BF16')),
      limits,
    ),
  );
}
