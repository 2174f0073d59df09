/** The training run: start, stop, where it stands. */
import { create } from 'zustand';
import type {
  EvalRecord,
  PromptFormat,
  RunCurves,
  RunPlan,
  RunProgress,
  RunSummary,
  Settings,
} from '../../worker/protocol';
import { formatMetric, formatPercent } from '../lib/format';
import { announce, notice, reportError } from './alerts';
import { engine } from './client';
import { askConfirm } from './confirm';
import { clearMetrics, metrics, showMetrics } from './metrics';

export interface RunFacts {
  modelTitle: string;
  dataName: string;
  settings: Settings;
  /** What the prompt format `auto` came to, where it is known. */
  format?: PromptFormat;
  plan: RunPlan | null;
}

interface RunStore {
  progress: RunProgress | null;
  facts: RunFacts | null;
  startedAt: number | null;
  endedAt: number | null;
  /** True once this run's weights were written out. */
  exported: boolean;
  /** Its id in storage; null while it is not kept there. */
  id: string | null;
  /** Step of the newest checkpoint. */
  savedStep: number | null;
}

export const useRun = create<RunStore>(() => ({
  progress: null,
  facts: null,
  startedAt: null,
  endedAt: null,
  exported: false,
  id: null,
  savedStep: null,
}));

const BUSY: readonly string[] = ['preparing', 'running', 'pausing', 'paused', 'stopping'];
export const busyState = (progress: RunProgress | null): boolean => progress !== null && BUSY.includes(progress.state);
export const isBusy = (): boolean => busyState(useRun.getState().progress);

/** True when there is an adapter that can be written out. */
export const hasAdapter = ({ progress }: Pick<RunStore, 'progress'>): boolean =>
  progress !== null && !busyState(progress) && progress.step > 0;

/** Asks before a trained adapter that was not exported is given up. */
export async function mayForgetRun(what: string): Promise<boolean> {
  const run = useRun.getState();
  if (isBusy()) {
    notice('run-busy', `${what} has to wait: a run is under way. Stop it first, or let it finish.`);
    return false;
  }
  // One whose last step is in storage can be opened again from the list of runs.
  const isKept = run.id !== null && run.savedStep === run.progress?.step;
  if (!hasAdapter(run) || run.exported || isKept) return true;
  return askConfirm({
    title: 'Give up the trained adapter?',
    text: `${what} discards the adapter of the last run, which is neither exported nor kept in this browser.`,
    confirm: 'Discard it',
    cancel: 'Keep it',
  });
}

export function forgetRun(): void {
  useRun.setState({ progress: null, facts: null, startedAt: null, endedAt: null, ...FRESH });
  clearMetrics();
}

const FRESH = { exported: false, id: null, savedStep: null };

const PREPARING: RunProgress = {
  state: 'preparing',
  step: 0,
  totalSteps: 0,
  epoch: 0,
  tokensPerSecond: 0,
  pairsPerSecond: 0,
  secondsLeft: null,
  activity: 'starting',
};

/** Follows a run to its end, whichever way that is. */
async function follow(ask: () => Promise<RunProgress>): Promise<void> {
  try {
    const progress = await ask();
    useRun.setState({ progress, endedAt: Date.now() });
    announce(
      progress.state === 'finished'
        ? `Training finished after ${progress.step} steps.`
        : `Training stopped at step ${progress.step} of ${progress.totalSteps}. The adapter is kept.`,
    );
  } catch (cause) {
    const last = useRun.getState().progress ?? PREPARING;
    const step = metrics.steps.at(-1)?.step ?? 0;
    useRun.setState({ progress: { ...last, state: 'failed', step, secondsLeft: null }, endedAt: Date.now() });
    announce(`Training failed at step ${step}.`);
    reportError(cause);
  }
}

/** Runs the training; answers when it has ended, whichever way. */
export async function startRun(facts: RunFacts): Promise<void> {
  if (!(await mayForgetRun('Starting a new run'))) return;
  clearMetrics();
  const totalSteps = facts.plan?.totalSteps ?? 0;
  useRun.setState({
    progress: { ...PREPARING, totalSteps },
    facts,
    startedAt: Date.now(),
    endedAt: null,
    ...FRESH,
  });
  announce(`Training started: ${totalSteps} steps.`);
  await follow(() => engine.request('train', facts.settings));
}

/** Goes on with a kept run whose model is loaded. Its curves come with the event `restored`. */
export async function followKept({ record }: RunSummary): Promise<void> {
  useRun.setState({ progress: { ...PREPARING, totalSteps: record.totalSteps } });
  announce(`Going on from step ${record.step} of ${record.totalSteps}.`);
  await follow(() => engine.request('continueRun', { id: record.id }));
}

/** A kept run is on the page from now on, with what it has behind it. */
export function runRestored({ record }: RunSummary, curves: RunCurves): void {
  showMetrics(curves);
  useRun.setState({
    facts: { modelTitle: record.model.title, dataName: record.data.name, settings: record.settings, plan: null },
    // Counted on from what it took so far.
    startedAt: Date.now() - 1000 * record.seconds,
    endedAt: null,
    exported: false,
    id: record.id,
    savedStep: curves.steps.at(-1)?.step ?? null,
  });
}

/** Asks the engine to pause, go on, or make one step. */
export async function steerRun(how: 'pause' | 'resume' | 'singleStep'): Promise<void> {
  try {
    await engine.request(how, {});
  } catch (cause) {
    reportError(cause);
  }
}

export async function stopRun(): Promise<void> {
  const { progress } = useRun.getState();
  if (!progress || !isBusy() || progress.state === 'stopping') return;
  useRun.setState({ progress: { ...progress, state: 'stopping', activity: 'stopping after this step' } });
  try {
    await engine.request('stop', {});
  } catch (cause) {
    reportError(cause);
  }
}

/** Takes a progress event. One that arrives after the run has ended changes nothing. */
export function runProgressed(progress: RunProgress): void {
  const current = useRun.getState().progress;
  if (!busyState(current)) return;
  // Events sent before the engine heard of the stop must not make the page say "running" again.
  const state = current?.state === 'stopping' && progress.state === 'running' ? 'stopping' : progress.state;
  if (busyState({ ...progress, state })) useRun.setState({ progress: { ...progress, state } });
}

export function announceEval(record: EvalRecord): void {
  const accuracy = formatPercent(record['eval_rewards/accuracies']);
  announce(`Held-out pairs at step ${record.step}: loss ${formatMetric(record.eval_loss)}, accuracy ${accuracy}.`);
}
