/** What the Runs view does with kept runs: which are drawn, changing them, and their files. */
import { create } from 'zustand';
import type { ExportResult, RunChange, RunCurves, RunForm, RunSummary } from '../../worker/protocol';
import { saveStream } from '../lib/save';
import { announce, notice, reportError } from './alerts';
import { engine } from './client';
import { metrics } from './metrics';
import { forgetRun, isBusy, mayForgetRun, useRun } from './run';
import { hasModel, refreshRuns, useRuns } from './runs';
import { useSettings } from './settings';
import { goTo } from './ui';

/** As many as there are colours. */
export const MOST_SHOWN = 6;

interface ShelfState {
  /** Runs drawn in the chart, with their colours (1..6). */
  shown: { id: string; color: number }[];
  curves: Record<string, RunCurves>;
  /** Ids of runs whose files are being made. */
  working: string | null;
  /** What the next run has to be to make a card's run again. */
  card: { name: string; dataName: string; fingerprint: string } | null;
}

export const useShelf = create<ShelfState>(() => ({ shown: [], curves: {}, working: null, card: null }));

/** Draws a run, or no longer. */
export async function toggleShown(id: string): Promise<void> {
  const { shown } = useShelf.getState();
  if (shown.some((one) => one.id === id)) {
    useShelf.setState({ shown: shown.filter((one) => one.id !== id) });
    return;
  }
  if (shown.length >= MOST_SHOWN) return;
  const free = Array.from({ length: MOST_SHOWN }, (_, i) => i + 1).find((c) => shown.every((one) => one.color !== c));
  useShelf.setState({ shown: [...shown, { id, color: free ?? 1 }] });
  await fetchCurves(id);
}

export async function fetchCurves(id: string): Promise<void> {
  try {
    const own = useRun.getState().id === id && metrics.steps.length > 0;
    // The run on the page is ahead of its last checkpoint.
    const curves: RunCurves = own
      ? { steps: [...metrics.steps], evals: [...metrics.evals], samples: [...metrics.samples] }
      : await engine.request('runCurves', { id });
    useShelf.setState((state) => ({ curves: { ...state.curves, [id]: curves } }));
  } catch (cause) {
    reportError(cause);
  }
}

export async function changeRun(id: string, change: RunChange): Promise<void> {
  try {
    useRuns.setState({ runs: await engine.request('changeRun', { id, change }) });
  } catch (cause) {
    reportError(cause);
  }
}

export async function deleteRun({ record: { id, name } }: RunSummary): Promise<void> {
  await changeRun(id, { deletedAt: Date.now() });
  useShelf.setState(({ shown }) => ({ shown: shown.filter((one) => one.id !== id) }));
  announce(`${name} is deleted.`);
  notice(`run-deleted-${id}`, `“${name}” is deleted, with its checkpoints. It can be brought back for a day.`, {
    label: 'Undo',
    run: () => void changeRun(id, { deletedAt: null }),
  });
}

/** Has a file of a run made, and downloads it. */
async function saveFile(id: string, make: () => Promise<ExportResult>): Promise<void> {
  useShelf.setState({ working: id });
  try {
    const { download } = await make();
    await saveStream(download!);
    announce(`${download!.name} is in your downloads.`);
  } catch (cause) {
    reportError(cause);
  } finally {
    useShelf.setState({ working: null });
  }
}

/** Downloads a run in one of its forms. */
export const saveRun = (id: string, form: RunForm): Promise<void> =>
  saveFile(id, () => engine.request('exportKept', { id, form }));

/** Downloads the job for other trainers on a bigger machine. */
export async function handOver(run: RunSummary): Promise<void> {
  if (isBusy() || !(await hasModel(run))) return;
  const { id } = run.record;
  await saveFile(id, () => engine.request('handOver', { id }));
}

/** Puts a kept run on the page, with its adapter ready for export. */
export async function openRun(run: RunSummary): Promise<void> {
  if (isBusy() || !(await mayForgetRun('Opening another run'))) return;
  forgetRun();
  if (!(await hasModel(run))) return;
  try {
    const progress = await engine.request('openRun', { id: run.record.id });
    useRun.setState({ progress, startedAt: null, exported: true });
    announce(`${run.record.name} is open, with its adapter ready for export.`);
    goTo('train');
  } catch (cause) {
    reportError(cause);
  }
}

/** Takes the settings of a run for the next one. */
export function takeSettings({ settings, name }: Pick<RunSummary['record'], 'settings' | 'name'>): void {
  const { hparams, evalFraction, splitBy, prompt, samples = { sample_steps: 0 } } = settings;
  useSettings.getState().replace(hparams);
  useSettings.setState({ evalFraction, ...(splitBy && { splitBy }), ...(prompt && { prompt }) });
  useSettings.getState().setSamples(samples);
  announce(`The settings of ${name} are taken over.`);
}

/** Reads a dropped or chosen file: a run card, or a checkpoint. */
export async function openRunFile(file: File): Promise<void> {
  try {
    if (file.name.endsWith('.safetensors')) {
      const { record } = await engine.request('importCheckpoint', { file });
      await refreshRuns();
      goTo('runs');
      announce(`${record.name} is in the list of runs.`);
      notice(
        'run-imported',
        `“${record.name}” is in the list of runs, at step ${record.step} of ${record.totalSteps}.`,
      );
      return;
    }
    const card = await engine.request('readRunCard', { text: await file.text() });
    takeSettings(card);
    const { name, data, model } = card;
    useShelf.setState({ card: { name, dataName: data.name, fingerprint: data.fingerprint } });
    goTo('settings');
    notice(
      'run-card',
      `The settings of “${name}” are taken over. To make the run again, load the model ${model.title} and the data ${data.name}; the page compares the pairs when the run starts.`,
    );
  } catch (cause) {
    reportError(cause);
  }
}

/** Says whether a run that began has the pairs of the card whose settings it took. */
export function compareWithCard(fingerprint: string): void {
  const { card } = useShelf.getState();
  if (!card) return;
  useShelf.setState({ card: null });
  if (card.fingerprint === fingerprint) notice('card-same', `The pairs are those of “${card.name}”, token for token.`);
  else
    notice(
      'card-other',
      `The pairs are not those of “${card.name}” (${card.dataName}): another file, split, prompt format or model. The curves will differ.`,
    );
}
