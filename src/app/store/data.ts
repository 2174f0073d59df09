/** The training and held-out pairs. The rows themselves stay in the engine; the page asks for a few at a time. */
import { create } from 'zustand';
import type { DataOffer, DataState as LoadedData, PairsPage } from '../../worker/protocol';
import { remember } from '../lib/memory';
import { announce, dismissCode, notice, reportError } from './alerts';
import { engine } from './client';
import { isBusy } from './run';
import { useSettings } from './settings';

export type Role = 'train' | 'eval';

interface DataStore extends LoadedData {
  /** What is being read. */
  reading: { role: Role; name: string; bytes: number; totalBytes: number } | null;
  /** True when the held-out pairs come from a file of their own rather than from a share of the first. */
  evalFile: boolean;
  /** Grows with every change, so that previews know to ask again. */
  version: number;
}

export const useData = create<DataStore>(() => ({
  train: null,
  eval: null,
  trainPairs: 0,
  evalPairs: 0,
  reading: null,
  evalFile: false,
  version: 0,
}));

const evalFraction = () => useSettings.getState().evalFraction;

const accept = (data: LoadedData) => useData.setState((state) => ({ ...data, version: state.version + 1 }));

async function load(role: Role, name: string, source: { file: File } | { builtin: string }): Promise<boolean> {
  if (useData.getState().reading) return false;
  if (isBusy()) {
    notice('run-busy', 'Data cannot be changed during a run. Stop it first, or let it finish.');
    return false;
  }
  dismissCode('data-unusable');
  const totalBytes = 'file' in source ? source.file.size : 0;
  useData.setState({ reading: { role, name, bytes: 0, totalBytes } });
  try {
    const data = await engine.request('loadData', { role, source, evalFraction: evalFraction() });
    accept(data);
    if (role === 'eval') useData.setState({ evalFile: true });
    const summary = role === 'train' ? data.train : data.eval;
    announce(`${name} read: ${summary?.usable ?? 0} of ${summary?.rows ?? 0} rows are usable.`);
    return true;
  } catch (cause) {
    reportError(cause);
    return false;
  } finally {
    useData.setState({ reading: null });
  }
}

export async function loadFile(role: Role, file: File): Promise<boolean> {
  const done = await load(role, file.name, { file });
  if (done && role === 'train') remember('data', null);
  return done;
}

export async function loadBuiltin(role: Role, id: string, title: string): Promise<boolean> {
  const done = await load(role, title, { builtin: id });
  if (done && role === 'train') remember('data', id);
  return done;
}

/** What a data set is called on the page: the title of a built-in one, else the file's name. */
export const titleOf = (name: string, offers: DataOffer[]): string =>
  offers.find((offer) => offer.id === name)?.title ?? name;

export async function clearData(role: Role): Promise<void> {
  try {
    accept(await engine.request('clearData', { role, evalFraction: evalFraction() }));
    if (role === 'eval') useData.setState({ evalFile: false });
  } catch (cause) {
    reportError(cause);
  }
}

/** Sets the share held out, and splits again where no second file decides. */
export async function setEvalFraction(fraction: number): Promise<void> {
  useSettings.getState().setEvalFraction(fraction);
  // Clearing an absent eval file is how the engine is told of a new share.
  if (useData.getState().train && !useData.getState().evalFile) await clearData('eval');
}

export async function fetchPairs(role: Role, offset: number, limit: number): Promise<PairsPage | null> {
  try {
    return await engine.request('pairs', { role, offset, limit });
  } catch (cause) {
    reportError(cause);
    return null;
  }
}
