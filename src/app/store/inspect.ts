/** What is known of the rows beyond their number: likely mistakes, duplicates, and their lengths in tokens. */
import { create } from 'zustand';
import type { DataCheck, DataMeasure } from '../../worker/protocol';
import { EngineError } from '../engine';
import { checkHParams } from '../settings/validate';
import { reportError } from './alerts';
import { engine } from './client';
import { useData } from './data';
import { useModels } from './models';
import { isBusy, useRun } from './run';
import { dataSettings, useSettings } from './settings';

interface InspectState {
  check: DataCheck | null;
  checking: boolean;
  measure: DataMeasure | null;
  measuring: boolean;
  /** Why there is no measurement, or null. */
  problem: string | null;
  progress: { activity: 'tokenising' | 'checking'; done: number; total: number } | null;
  /** Grows with every answer, so that lists narrowed to a finding ask again. */
  version: number;
}

export const useInspect = create<InspectState>(() => ({
  check: null,
  checking: false,
  measure: null,
  measuring: false,
  problem: null,
  progress: null,
  version: 0,
}));

const DELAY_MS = 300;
let timer: ReturnType<typeof setTimeout> | undefined;
/** Counts the wishes; an answer to an older one is not shown. */
let wish = 0;

const isCancelled = (cause: unknown) => cause instanceof EngineError && cause.code === 'cancelled';
const bump = ({ version }: InspectState) => ({ version: version + 1 });

async function check(mine: number): Promise<void> {
  useInspect.setState({ checking: true });
  try {
    const answer = await engine.request('checkData', dataSettings());
    if (mine === wish) useInspect.setState((state) => ({ check: answer, ...bump(state) }));
  } catch (cause) {
    if (mine === wish && !isCancelled(cause)) reportError(cause);
  } finally {
    if (mine === wish) useInspect.setState({ checking: false });
  }
}

async function measure(mine: number): Promise<void> {
  useInspect.setState({ measuring: true, problem: null });
  try {
    const answer = await engine.request('measureData', dataSettings());
    if (mine === wish) useInspect.setState((state) => ({ measure: answer, ...bump(state) }));
  } catch (cause) {
    if (mine !== wish) return;
    const known = cause instanceof EngineError;
    if (!known) reportError(cause);
    useInspect.setState({ measure: null, problem: known ? cause.message : 'The lengths could not be measured.' });
  } finally {
    if (mine === wish) useInspect.setState({ measuring: false, progress: null });
  }
}

/** Looks at the rows afresh. */
export async function inspect(): Promise<void> {
  const mine = ++wish;
  const { train } = useData.getState();
  if (!train) {
    useInspect.setState({ check: null, measure: null, checking: false, measuring: false, problem: null });
    return;
  }
  const { hparams, invalid } = useSettings.getState();
  if (isBusy() || Object.keys({ ...checkHParams(hparams), ...invalid }).length > 0) return;
  await check(mine);
  if (mine !== wish) return;
  if (useModels.getState().model) await measure(mine);
  else useInspect.setState({ measure: null, measuring: false });
}

export async function cancelInspect(): Promise<void> {
  await engine.request('cancelTokens', {}).catch(reportError);
}

function schedule(): void {
  clearTimeout(timer);
  timer = setTimeout(() => void inspect(), DELAY_MS);
}

/** Keeps what is known up to date. Called once. */
export function watchData(): void {
  useData.subscribe((now, before) => {
    if (now.version !== before.version) schedule();
  });
  useModels.subscribe((now, before) => {
    if (now.model !== before.model) schedule();
  });
  useSettings.subscribe((now, before) => {
    if (now.hparams !== before.hparams || now.prompt !== before.prompt) schedule();
  });
  useRun.subscribe((now, before) => {
    if (now.progress?.state !== before.progress?.state && !isBusy()) schedule();
  });
}
