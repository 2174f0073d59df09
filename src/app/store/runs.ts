/** The runs that are kept in this browser, and going on with one. */
import { create } from 'zustand';
import type { RunSummary, StudioError } from '../../worker/protocol';
import { plural } from '../lib/format';
import { dismissCode, notice, reportError } from './alerts';
import { engine } from './client';
import { loadModel, useModels } from './models';
import { busyState, followKept, isBusy, mayForgetRun, useRun } from './run';
import { goTo, useUi } from './ui';

interface RunsState {
  /** Newest first; null until the engine has answered. */
  runs: RunSummary[] | null;
  /** Cut-off runs that the visitor does not want to be asked about again. */
  putAside: string[];
}

export const useRuns = create<RunsState>(() => ({ runs: null, putAside: [] }));

export async function refreshRuns(): Promise<void> {
  try {
    useRuns.setState({ runs: await engine.request('runs', {}) });
  } catch (cause) {
    reportError(cause);
  }
}

/** Whether a run ended without having been told to. */
export const wasCutOff = ({ record, live }: RunSummary): boolean =>
  !live &&
  record.step < record.totalSteps &&
  (record.state === 'running' || record.state === 'paused' || record.error?.code === 'device-lost');

/** The newest run that was cut off and may go on. */
export const cutOffRun = ({ runs, putAside }: RunsState): RunSummary | null => {
  const [newest] = runs ?? [];
  return newest && wasCutOff(newest) && !putAside.includes(newest.record.id) ? newest : null;
};

export const putAside = (id: string): void => useRuns.setState((state) => ({ putAside: [...state.putAside, id] }));

/** Has the run's model loaded. */
export async function hasModel({ record }: RunSummary): Promise<boolean> {
  const { id, title, chatml, quantized, load } = record.model;
  const { model } = useModels.getState();
  if (model?.id === id && (model.chatml ?? null) === chatml && model.quantized === quantized) return true;
  if (load) return loadModel({ id, ...load });
  notice('model-on-disk', `Open the folder of ${title} in the Model step first, in the same way as before.`);
  return false;
}

/** Loads the run's model where it is not loaded, and goes on with the run. */
export async function continueRun(run: RunSummary): Promise<void> {
  if (isBusy()) return;
  dismissCode('run-cut-off');
  if (!(await mayForgetRun('Going on with another run'))) return;
  useRun.setState({ progress: null });
  if (!(await hasModel(run))) return;
  goTo('train');
  await followKept(run);
}

export function runNotKept(error: StudioError): void {
  notice(
    'run-not-kept',
    `This browser did not store the run: it trains all the same, but without checkpoints, and is gone once the page is closed. ${error.message}`,
  );
}

export function checkpointFailed(step: number, error: StudioError): void {
  notice(
    'checkpoint-failed',
    `The checkpoint of step ${step} could not be stored; the run goes on, and what was stored before is safe. ${error.message}`,
  );
}

export function tellDamaged(steps: readonly number[], from: number): void {
  if (steps.length === 0) return;
  const which = `${steps.length === 1 ? 'The checkpoint of step' : 'The checkpoints of steps'} ${steps.join(', ')}`;
  notice(
    'checkpoint-damaged',
    `${which} had changed in storage and ${steps.length === 1 ? 'was' : 'were'} left out. The run goes on from ${from === 0 ? 'its beginning' : `step ${from}`}, to the same numbers.`,
  );
}

/** Keeps the list up to date, and tells of a run that was cut off. Called once. */
export function watchRuns(): void {
  useRun.subscribe((now, before) => {
    const ended = busyState(before.progress) && !busyState(now.progress);
    if (ended || now.id !== before.id) void refreshRuns();
  });
  const stop = useRuns.subscribe((state) => {
    if (state.runs === null) return;
    stop();
    const run = cutOffRun(state);
    if (!run || isBusy() || useUi.getState().step === 'train') return;
    const { name, step, totalSteps } = run.record;
    notice('run-cut-off', `“${name}” was cut off: ${plural(step, 'step')} of ${totalSteps} are kept.`, {
      label: step > 0 ? `Continue from step ${step}` : 'Start it again',
      run: () => void continueRun(run),
    });
  });
}
