/** GPU memory for operands of products in another format than they have: f16, or f32 in place of NF4. Beside plan.ts's table of a run. */
import { type BufferSpec, bufferSpec } from '../gpu/memory';
import { type KernelProfile, usesHalf } from '../gpu/profile';
import { EXPANDED, expandsNf4 } from '../ops/expand-choice';
import { factorValues, halfValues } from '../ops/half';
import { type LlamaConfig, projectionShapes } from './config';
import { mlpStretch } from './layer-values';
import { LORA_GROUPS } from './lora';
import { bindingLimit, type DeviceLimits, headTile, type PackCapacity } from './plan';

/** What of a device's kernels decides which operands become another format. */
export type OperandKernels = Pick<KernelProfile, 'matrix' | 'floatMatrix' | 'half' | 'direct' | 'rowThreads'>;

/**
 * Room for the rows and the weights of any product of a run as f16, those of a group together, and for what attention's backward scales by; in f32, for a weight of NF4.
 * @param nf4 whether projections are NF4
 */
export function operandSpecs(
  profile: OperandKernels,
  c: LlamaConfig,
  nf4: boolean,
  capacity: PackCapacity,
  limits: DeviceLimits,
): BufferSpec[] {
  if (!usesHalf(profile)) return nf4 ? expandedSpecs(profile, c, capacity, limits) : [];
  const { tokens } = capacity;
  const tile = headTile(c, capacity);
  // Rows and columns of what products read.
  const shapes = [
    [tokens, Math.max(c.hiddenSize, c.heads * c.headDim)],
    [tokens, (c.heads + 2 * c.kvHeads) * c.headDim],
    [mlpStretch(c, capacity), 2 * c.intermediateSize],
    [tile.rows, c.hiddenSize],
    [tile.rows, tile.columns],
  ];
  const x = Math.max(...shapes.map(([m, k]) => halfValues(profile, m, k)));
  const factors = Math.max(...shapes.map(([m, k]) => factorValues(profile, m, k)));
  const projections = projectionShapes(c);
  const groups = Object.values(LORA_GROUPS).map((modules) => [
    modules.reduce((sum, module) => sum + projections[module][0], 0),
    projections[modules[0]][1],
  ]);
  const weights = [...groups, [tile.columns, c.hiddenSize]];
  const w = Math.max(...weights.map(([rows, columns]) => halfValues(profile, rows, columns)));
  // What a binding cannot hold stays with the f32 kernels.
  const most = bindingLimit(limits);
  return [
    bufferSpec('half.x', 'activations', Math.min(2 * x, most)),
    bufferSpec('half.factors', 'activations', 4 * factors),
    bufferSpec('half.w', 'activations', Math.min(2 * w, most)),
    ...(profile.matrix ? [bufferSpec('half.tops', 'activations', 4 * tokens * c.heads)] : []),
  ];
}

function expandedSpecs(
  profile: OperandKernels,
  c: LlamaConfig,
  capacity: PackCapacity,
  limits: DeviceLimits,
): BufferSpec[] {
  const rows = (name: string) => (/^[qkvo]_/.test(name) ? capacity.tokens : mlpStretch(c, capacity));
  const shapes = Object.entries(projectionShapes(c)).filter(([name]) =>
    expandsNf4(profile, { format: 'NF4' }, rows(name)),
  );
  if (shapes.length === 0) return [];
  const values = Math.max(...shapes.map(([, [outputs, inputs]]) => outputs * inputs));
  return [bufferSpec(EXPANDED, 'activations', Math.min(4 * values, bindingLimit(limits)))];
}
