/** The engine's plan of the run, asked again whenever model, data or settings change. */
import { create } from 'zustand';
import type { RunPlan } from '../../worker/protocol';
import { EngineError } from '../engine';
import { checkHParams } from '../settings/validate';
import { reportError } from './alerts';
import { engine } from './client';
import { useData } from './data';
import { useDevice } from './device';
import { useModels } from './models';
import { isBusy, useRun } from './run';
import { runSettings, useSettings } from './settings';

interface PlanState {
  plan: RunPlan | null;
  planning: boolean;
  /** Why there is no plan although there are a model and data. */
  problem: string | null;
}

export const usePlan = create<PlanState>(() => ({ plan: null, planning: false, problem: null }));

const DELAY_MS = 250;
let timer: ReturnType<typeof setTimeout> | undefined;
let inFlight = false;
let again = false;

const settingsAreValid = () => {
  const { hparams, invalid } = useSettings.getState();
  return Object.keys(invalid).length === 0 && Object.keys(checkHParams(hparams)).length === 0;
};
const ready = () => useModels.getState().model !== null && useData.getState().trainPairs > 0;

async function ask(): Promise<void> {
  if (inFlight) {
    again = true;
    return;
  }
  if (!ready() || isBusy() || !settingsAreValid()) {
    usePlan.setState(ready() && isBusy() ? {} : { plan: null, planning: false, problem: null });
    return;
  }
  inFlight = true;
  usePlan.setState({ planning: true });
  try {
    usePlan.setState({ plan: await engine.request('plan', runSettings()), problem: null });
  } catch (cause) {
    const known = cause instanceof EngineError;
    if (!known) reportError(cause);
    usePlan.setState({ plan: null, problem: known ? cause.message : 'The run could not be planned.' });
  } finally {
    inFlight = false;
    usePlan.setState({ planning: again });
    if (again) {
      again = false;
      void ask();
    }
  }
}

function schedule(): void {
  clearTimeout(timer);
  // What is being tokenised under the old settings is no longer wanted.
  if (inFlight) void engine.request('cancelTokens', {}).catch(reportError);
  if (ready() && !isBusy()) usePlan.setState({ planning: settingsAreValid() });
  timer = setTimeout(() => void ask(), DELAY_MS);
}

/** Keeps the plan up to date. Called once. */
export function watchPlan(): void {
  useSettings.subscribe((now, before) => {
    const same = now.hparams === before.hparams && now.prompt === before.prompt && now.samples === before.samples;
    if (!same || now.invalid !== before.invalid) schedule();
  });
  useModels.subscribe((now, before) => {
    if (now.model !== before.model) schedule();
  });
  useData.subscribe((now, before) => {
    if (now.version !== before.version) schedule();
  });
  // Tiers differ in the memory that they take.
  useDevice.subscribe((now, before) => {
    if (now.info?.tier !== before.info?.tier) schedule();
  });
  useRun.subscribe((now, before) => {
    if (now.progress?.state !== before.progress?.state && !isBusy()) schedule();
  });
}
