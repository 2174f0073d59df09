/** SwiGLU over rows of [gate, up]; the backward overwrites gate_up with its gradient. */
import source from '../../shaders/swiglu.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import { KernelFamily, oncePer } from '../gpu/kernels';
import type { KernelProfile } from '../gpu/profile';
import { rowConstants } from './rows';

const families = oncePer((profile: KernelProfile) => new KernelFamily('swiglu', source, rowConstants(profile)));

function run(
  cmd: Commands,
  profile: KernelProfile,
  rows: number,
  width: number,
  views: Record<string, View>,
  flags: string,
) {
  cmd.dispatch(
    families(profile).with(flags),
    views,
    { rows, width },
    [Math.ceil(width / 4 / profile.rowThreads), rows],
    10 * rows * width,
  );
}

/** act [rows, width] from gateUp [rows, 2 width]. */
export function swiglu(cmd: Commands, profile: KernelProfile, rows: number, width: number, gateUp: View, act: View) {
  run(cmd, profile, rows, width, { gate_up: gateUp, act }, '');
}

/** gateUp becomes d gateUp, from dAct [rows, width]. */
export function swigluBackward(
  cmd: Commands,
  profile: KernelProfile,
  rows: number,
  width: number,
  gateUp: View,
  dAct: View,
) {
  run(cmd, profile, rows, width, { gate_up: gateUp, dact: dAct }, 'BACKWARD');
}
