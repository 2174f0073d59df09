/** Shared by kernels that give a workgroup to each row. */
import type { KernelProfile } from '../gpu/profile';

const PER_AXIS = 65535;

/** Workgroups for `rows` rows; kernels read row = x + y * 65535. */
export const rowGroups = (rows: number): [number, number] => [Math.min(rows, PER_AXIS), Math.ceil(rows / PER_AXIS)];

/** Workgroups of 64 threads for `count` items; kernels read i = x + y * 65535 * 64. */
export const itemGroups = (count: number): [number, number] => rowGroups(Math.ceil(count / 64));

export const rowConstants = (profile: KernelProfile): { ROW_THREADS: number } => ({ ROW_THREADS: profile.rowThreads });
