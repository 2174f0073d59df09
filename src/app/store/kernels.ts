/** Where the GPU's time goes: one step of the run under way, timed kernel by kernel when asked. */
import { create } from 'zustand';
import type { WorkerEvent } from '../../worker/protocol';
import { EngineError } from '../engine';
import { reportError } from './alerts';
import { engine } from './client';

export type KernelTimes = Omit<Extract<WorkerEvent, { event: 'kernels' }>, 'event'>;

interface KernelState {
  waiting: boolean;
  latest: KernelTimes | null;
  /** Why this device cannot be timed. */
  problem: string | null;
}

export const useKernels = create<KernelState>(() => ({ waiting: false, latest: null, problem: null }));

export async function timeNextStep(): Promise<void> {
  useKernels.setState({ waiting: true, problem: null });
  try {
    await engine.request('profileStep', {});
  } catch (cause) {
    useKernels.setState({ waiting: false });
    if (cause instanceof EngineError && cause.code === 'no-timestamps') useKernels.setState({ problem: cause.message });
    else reportError(cause);
  }
}

export const kernelsTimed = (latest: KernelTimes): void => useKernels.setState({ waiting: false, latest });
export const forgetKernels = (): void => useKernels.setState({ waiting: false, latest: null, problem: null });
