/** The memory of a run that is only thought of: a shape and some sizes instead of a model and data. */
import { type BufferSpec, totalBytes } from '../gpu/memory';
import type { KernelProfile } from '../gpu/profile';
import type { WeightFormat } from '../ops/weight';
import type { HParams } from '../train/hparams';
import type { LlamaConfig } from './config';
import { loraLayout } from './lora';
import { type OperandKernels, operandSpecs } from './operand-plan';
import {
  type DeviceLimits,
  type PackCapacity,
  plannedStretch,
  runSpecs,
  slabLimit,
  weightSpecs,
  weightTables,
} from './plan';

/** What of a device's kernels decides how much memory a run takes: the tile of attention, and what a faster tier adds. */
export type PlannedKernels = Pick<KernelProfile, 'attentionTile' | 'mlpBytes' | 'spareMlpBytes'> & OperandKernels;

export interface EstimateInput {
  config: LlamaConfig;
  /** Of the linear layers; embedding and head are 16-bit beside NF4, as published checkpoints are. */
  format: WeightFormat;
  hparams: HParams;
  /** Pairs in one pass. */
  pairs: number;
  /** Share of each sequence that is the pair's common prompt, computed once; 0 when nothing is shared. */
  promptShare: number;
}

/** Sizes of a pass in which every sequence has max_length tokens, all of them trained. */
export function fullCapacity({ hparams, pairs, promptShare }: EstimateInput, tile: number): PackCapacity {
  const length = hparams.max_length;
  const shared = Math.floor(length * promptShare);
  const answer = length - shared;
  const tiles = Math.ceil(shared / tile) + 2 * Math.ceil(answer / tile);
  const tokens = pairs * (shared + 2 * answer);
  return { tokens, rows: tokens, entries: tokens + pairs, tiles: pairs * tiles, pairs, positions: length };
}

/** Every buffer of the model and the run, as the engine would allocate them. */
export function estimateSpecs(input: EstimateInput, limits: DeviceLimits, kernels: PlannedKernels): BufferSpec[] {
  const { config, format, hparams } = input;
  const head = format === 'NF4' ? 'BF16' : format;
  const tables = weightTables(config, (name) => (/_proj\.weight$/.test(name) ? format : head));
  const lora = loraLayout(config, hparams, slabLimit(limits));
  const capacity = fullCapacity(input, kernels.attentionTile);
  capacity.stretch = plannedStretch(config, limits, kernels);
  return [
    ...weightSpecs(tables, limits),
    ...runSpecs(config, lora, capacity, hparams),
    ...operandSpecs(kernels, config, format === 'NF4', capacity, limits),
  ];
}

/** Changes that make a run fit, the mildest first, each with the bytes it would need. Empty when none does. */
export function waysToFit(
  input: EstimateInput,
  limits: DeviceLimits,
  kernels: PlannedKernels,
  room: number,
): { change: string; bytes: number }[] {
  const { hparams, pairs } = input;
  const variants: [string, EstimateInput][] = [];
  const withHparams = (change: Partial<HParams>) => ({ ...input, hparams: { ...hparams, ...change } });
  if (!hparams.gradient_checkpointing) {
    variants.push(['turn gradient_checkpointing on', withHparams({ gradient_checkpointing: true })]);
  }
  if (hparams.gradient_checkpointing && hparams.keep_bytes !== 0) {
    variants.push(['keep_bytes 0', withHparams({ keep_bytes: 0 })]);
  }
  if (hparams.optim !== 'adamw_8bit') variants.push(['optim adamw_8bit', withHparams({ optim: 'adamw_8bit' })]);
  if (pairs > 1) variants.push(['one pair at a time', { ...input, pairs: 1 }]);
  for (let length = Math.floor(hparams.max_length / 2); length >= 128; length = Math.floor(length / 2)) {
    variants.push([`max_length ${length}`, withHparams({ max_length: length })]);
  }
  if (input.format !== 'NF4') variants.push(['the 4-bit (NF4) version of the model', { ...input, format: 'NF4' }]);
  return variants
    .map(([change, variant]) => ({ change, bytes: totalBytes(estimateSpecs(variant, limits, kernels)) }))
    .filter(({ bytes }) => bytes <= room)
    .slice(0, 3);
}
