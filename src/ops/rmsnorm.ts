/** RMSNorm over rows of `hidden` values, and its backward, which is added to dx. */
import source from '../../shaders/rmsnorm.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { KernelProfile } from '../gpu/profile';
import { rowConstants, rowGroups } from './rows';

export interface RmsNormArgs {
  x: View;
  gain: View;
  rows: number;
  hidden: number;
  eps: number;
  /** Row numbers of x (and dx) to use, one for each row of y (and dy); all rows when absent. */
  gather?: View;
}

export function rmsNorm(cmd: Commands, profile: KernelProfile, args: RmsNormArgs, y: View): void {
  run(cmd, profile, args, { y }, []);
}

/** dx += backward(dy). */
export function rmsNormBackward(cmd: Commands, profile: KernelProfile, args: RmsNormArgs, dy: View, dx: View): void {
  run(cmd, profile, args, { dy, dx }, ['BACKWARD']);
}

function run(cmd: Commands, profile: KernelProfile, a: RmsNormArgs, extra: Record<string, View>, flags: string[]) {
  if (a.gather) flags.push('GATHER');
  cmd.dispatch(
    { name: `rmsnorm ${flags.join(' ')}`, source, flags, constants: rowConstants(profile) },
    { x: a.x, gain: a.gain, ...extra, ...(a.gather && { rows: a.gather }) },
    { rows: a.rows, hidden: a.hidden, eps: a.eps },
    rowGroups(a.rows),
    8 * a.rows * a.hidden,
  );
}
