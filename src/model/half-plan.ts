/** GPU memory for operands of products as f16, in the tiers that have such. Beside plan.ts's table of a run. */
import { type BufferSpec, bufferSpec } from '../gpu/memory';
import { type KernelProfile, usesHalf } from '../gpu/profile';
import { factorValues, halfValues } from '../ops/half';
import { type LlamaConfig, projectionShapes } from './config';
import { mlpStretch } from './layer-values';
import { bindingLimit, type DeviceLimits, headTile, type PackCapacity } from './plan';

/** Room for the rows and the weight of any product of a run, and for what attention's backward scales by; nothing for tiers whose products read f32. */
export function halfSpecs(
  profile: Pick<KernelProfile, 'matrix' | 'half' | 'rowThreads'>,
  c: LlamaConfig,
  capacity: PackCapacity,
  limits: DeviceLimits,
): BufferSpec[] {
  if (!usesHalf(profile)) return [];
  const { tokens } = capacity;
  const tile = headTile(c, capacity);
  // Rows and columns of what products read.
  const shapes = [
    [tokens, Math.max(c.hiddenSize, c.heads * c.headDim)],
    [mlpStretch(c, capacity), c.intermediateSize],
    [tile.rows, c.hiddenSize],
    [tile.rows, tile.columns],
  ];
  const x = Math.max(...shapes.map(([m, k]) => halfValues(profile, m, k)));
  const factors = Math.max(...shapes.map(([m, k]) => factorValues(profile, m, k)));
  const weights = [...Object.values(projectionShapes(c)), [tile.columns, c.hiddenSize]];
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
