/** How long the run will take, from two of its steps; forgotten when the plan changes. */
import { create } from 'zustand';
import type { ProbeResult } from '../../worker/protocol';
import { formatDuration } from '../lib/format';
import { announce, reportError } from './alerts';
import { engine } from './client';
import { usePlan } from './plan';
import { runSettings } from './settings';

export const useProbe = create<{ probing: boolean; result: ProbeResult | null }>(() => ({
  probing: false,
  result: null,
}));

export async function probeRun(): Promise<void> {
  if (useProbe.getState().probing) return;
  const { plan } = usePlan.getState();
  useProbe.setState({ probing: true });
  try {
    const result = await engine.request('probe', runSettings());
    // A plan that changed meanwhile is another run.
    if (usePlan.getState().plan === plan) useProbe.setState({ result });
    announce(`The run will take about ${formatDuration(result.totalSeconds)}.`);
  } catch (cause) {
    reportError(cause);
  } finally {
    useProbe.setState({ probing: false });
  }
}

/** Called once. */
export function watchProbe(): void {
  usePlan.subscribe((now, before) => {
    if (now.plan !== before.plan) useProbe.setState({ result: null });
  });
}
