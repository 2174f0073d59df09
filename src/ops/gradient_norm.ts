/** Global gradient norm and torch's clipping factor, left on the GPU as [norm, factor]. */
import source from '../../shaders/gradient_norm.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { KernelProfile } from '../gpu/profile';
import { rowConstants } from './rows';

const STRETCH = 16384;

/** Partial sums needed for slabs of these lengths (in values). */
export const partialCount = (lengths: readonly number[]): number =>
  lengths.reduce((sum, n) => sum + Math.ceil(n / STRETCH), 0);

/** After a norm that is not finite the factor stays -1 until `result` is cleared. */
export function gradientNorm(
  cmd: Commands,
  profile: KernelProfile,
  slabs: readonly { view: View; length: number }[],
  partials: View,
  result: View,
  maxNorm: number,
): void {
  let first = 0;
  for (const { view, length } of slabs) {
    const groups = Math.ceil(length / STRETCH);
    cmd.dispatch(
      { name: 'gradient norm', source, constants: rowConstants(profile) },
      { values: view, partials },
      { count: length, first, stretch: STRETCH, max_norm: 0 },
      [groups],
      2 * length,
    );
    first += groups;
  }
  cmd.dispatch(
    { name: 'gradient norm FINAL', source, flags: ['FINAL'], constants: rowConstants(profile) },
    { partials, result },
    { count: first, first: 0, stretch: 0, max_norm: maxNorm },
    [1],
    first,
  );
}
