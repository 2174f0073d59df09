/** Benchmarks: what is chosen, how far it is, and what came out. */
import { create } from 'zustand';
import type {
  DataOffer,
  EvaluateForm,
  EvaluateProgress,
  EvaluateTask,
  ItemFilter,
  ItemsPage,
  MetricName,
  TaskReport,
} from '../../worker/protocol';
import { EngineError } from '../engine';
import { plural } from '../lib/format';
import { saveText } from '../lib/save';
import { announce, reportError } from './alerts';
import { engine } from './client';
import { useData } from './data';
import { useDevice } from './device';
import { hasAdapter, useRun } from './run';
import { runSettings } from './settings';

export const HELD_OUT = 'held-out';

interface EvaluationState {
  /** Benchmarks of this site; null until they were asked for. */
  offers: DataOffer[] | null;
  /** Files that the visitor added. */
  own: EvaluateTask[];
  /** Ids of tasks that are ticked. */
  chosen: string[];
  /** Questions of each task; null: all. Chosen by the device until the visitor does. */
  limit: number | null | undefined;
  shots: number;
  seed: number;
  progress: EvaluateProgress | null;
  reports: TaskReport[];
  /** Whether the reports compare with an adapter. */
  tuned: boolean;
}

export const useEvaluation = create<EvaluationState>(() => ({
  offers: null,
  own: [],
  chosen: [HELD_OUT],
  limit: undefined,
  shots: 0,
  seed: 1234,
  progress: null,
  reports: [],
  tuned: false,
}));

export const setEvaluation = (change: Partial<Pick<EvaluationState, 'limit' | 'shots' | 'seed'>>): void =>
  useEvaluation.setState(change);

/** Few questions where a processor has to answer them. */
const SOFTWARE_LIMIT = 20;

export function useLimit(): number | null {
  const limit = useEvaluation((state) => state.limit);
  const software = useDevice((state) => state.info?.isSoftware === true);
  return limit === undefined ? (software ? SOFTWARE_LIMIT : null) : limit;
}

export async function fetchBenchmarks(): Promise<void> {
  if (useEvaluation.getState().offers) return;
  try {
    const offers = await engine.request('benchmarks', {});
    const first = offers.slice(0, 2).map(({ id }) => id);
    useEvaluation.setState(({ chosen }) => ({ offers, chosen: [...new Set([...chosen, ...first])] }));
  } catch (cause) {
    useEvaluation.setState({ offers: [] });
    reportError(cause);
  }
}

export function toggleTask(id: string): void {
  useEvaluation.setState(({ chosen }) => ({
    chosen: chosen.includes(id) ? chosen.filter((other) => other !== id) : [...chosen, id],
  }));
}

function addOwn(task: Omit<EvaluateTask, 'id'>): void {
  useEvaluation.setState(({ own, chosen }) => {
    const id = `own-${own.length + 1}-${task.title}`;
    return { own: [...own, { ...task, id }], chosen: [...chosen, id] };
  });
}

export const addFile = (file: File, kind: 'benchmark' | 'text'): void =>
  addOwn({ title: file.name, kind, source: { files: [file] } });

/** A split of a data set on the Hub, read when it is evaluated. */
export const addHubTask = (dataset: string, config: string, split: string, token?: string): void =>
  addOwn({ title: `${dataset} ${split}`, kind: 'benchmark', source: { hub: { dataset, config, split, token } } });

/** Every task that can be ticked, in order. */
export function tasksOf({ offers, own }: Pick<EvaluationState, 'offers' | 'own'>, evalPairs: number): EvaluateTask[] {
  const heldOut: EvaluateTask[] = evalPairs > 0 ? [{ id: HELD_OUT, title: 'Held-out pairs', kind: 'heldOut' }] : [];
  const builtin = (offers ?? []).map(
    ({ id, title }): EvaluateTask => ({ id, title, kind: 'benchmark', source: { builtin: id } }),
  );
  return [...heldOut, ...builtin, ...own];
}

export async function startEvaluation(limit: number | null): Promise<void> {
  const state = useEvaluation.getState();
  if (state.progress) return;
  const all = tasksOf(state, useData.getState().evalPairs);
  const tasks = all.filter(({ id }) => state.chosen.includes(id));
  if (tasks.length === 0) return;
  const { shots, seed } = state;
  const progress: EvaluateProgress = {
    ...{ title: tasks[0].title, number: 1, count: tasks.length, done: 0, items: 0, totalItems: 0 },
    ...{ secondsLeft: null, paused: false },
  };
  useEvaluation.setState({ progress, reports: [], tuned: hasAdapter(useRun.getState()) });
  announce(`Evaluating ${plural(tasks.length, 'task')}.`);
  try {
    await engine.request('evaluate', { tasks, settings: runSettings(), limit, shots, seed });
    announce('The evaluation is done.');
  } catch (cause) {
    if (cause instanceof EngineError && cause.code === 'cancelled') announce('The evaluation was cancelled.');
    else reportError(cause);
  } finally {
    useEvaluation.setState({ progress: null });
  }
}

export async function steerEvaluation(how: 'pause' | 'resume' | 'cancel'): Promise<void> {
  useEvaluation.setState(({ progress }) => (progress ? { progress: { ...progress, paused: how === 'pause' } } : {}));
  try {
    await engine.request('steerEvaluation', { how });
  } catch (cause) {
    reportError(cause);
  }
}

export function evaluationProgressed(progress: EvaluateProgress): void {
  useEvaluation.setState((state) =>
    state.progress ? { progress: { ...progress, paused: state.progress.paused } } : {},
  );
}

export const taskEvaluated = (report: TaskReport): void =>
  useEvaluation.setState(({ reports }) => ({ reports: [...reports, report] }));

/** Another model or run: what was measured is no longer what is on the page. */
export const forgetEvaluation = (): void => useEvaluation.setState({ reports: [], tuned: false });

export async function saveEvaluation(form: EvaluateForm, id?: string): Promise<void> {
  try {
    const { name, mimeType, text } = await engine.request('evaluationFile', { form, id });
    saveText(text, name, mimeType);
  } catch (cause) {
    reportError(cause);
  }
}

/** Items of a task; null when they cannot be had. */
export async function fetchItems(
  id: string,
  metric: MetricName,
  filter: ItemFilter,
  query: string,
  count: number,
): Promise<ItemsPage | null> {
  try {
    return await engine.request('evaluatedItems', { id, metric, filter, query, from: 0, count });
  } catch (cause) {
    reportError(cause);
    return null;
  }
}
