/** RMSNorm over rows of `hidden` values, and its backward, which is added to dx. */
import source from '../../shaders/rmsnorm.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import { KernelFamily, oncePer } from '../gpu/kernels';
import type { KernelProfile } from '../gpu/profile';
import { rowConstants, rowGroups } from './rows';

const families = oncePer((profile: KernelProfile) => new KernelFamily('rmsnorm', source, rowConstants(profile)));

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
  run(cmd, profile, args, '', { y });
}

/** dx += backward(dy). */
export function rmsNormBackward(cmd: Commands, profile: KernelProfile, args: RmsNormArgs, dy: View, dx: View): void {
  run(cmd, profile, args, 'BACKWARD', { dy, dx });
}

function run(
  cmd: Commands,
  profile: KernelProfile,
  a: RmsNormArgs,
  flags: string,
  { y, dy, dx }: { y?: View; dy?: View; dx?: View },
) {
  cmd.dispatch(
    families(profile).with(a.gather ? `${flags} GATHER` : flags),
    { x: a.x, gain: a.gain, y, dy, dx, rows: a.gather },
    { rows: a.rows, hidden: a.hidden, eps: a.eps },
    rowGroups(a.rows),
    8 * a.rows * a.hidden,
  );
}
