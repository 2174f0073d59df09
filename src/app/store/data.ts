/** The training and held-out pairs. The rows themselves stay in the engine; the page asks for a few at a time. */
import { create } from 'zustand';
import type {
  DataOffer,
  DataPreview,
  DataSource,
  DuplicateKind,
  DataState as LoadedData,
  PairColumns,
  ReadAmount,
  Role,
  Split,
} from '../../worker/protocol';
import { EngineError } from '../engine';
import { plural } from '../lib/format';
import { remember } from '../lib/memory';
import { saveStream } from '../lib/save';
import { announce, dismissCode, notice, reportError } from './alerts';
import { engine } from './client';
import { isBusy } from './run';
import { dataSettings, useSettings } from './settings';

export type { Role };

interface DataStore extends LoadedData {
  /** What is being read. */
  reading: { role: Role; name: string; bytes: number; totalBytes: number } | null;
  /** The beginning of what is being read. */
  preview: DataPreview | null;
  /** A file whose fields were not recognised: they can be named by hand. */
  unread: { role: Role; name: string; fields: string[] } | null;
  /** Files that are so large that the visitor is asked how much of them to read. */
  large: { role: Role; files: File[]; bytes: number } | null;
  /** How much of the next source is read. */
  amount: ReadAmount;
  /** True when the held-out pairs come from a file of their own rather than from a share of the first. */
  evalFile: boolean;
  /** Grows with every change, so that lists know to ask again. */
  version: number;
}

export const useData = create<DataStore>(() => ({
  train: null,
  eval: null,
  trainPairs: 0,
  evalPairs: 0,
  reading: null,
  preview: null,
  unread: null,
  large: null,
  amount: { kind: 'all' },
  evalFile: false,
  version: 0,
}));

/** Above this a file is not read whole unasked. */
export const LARGE_BYTES = 400e6;

export function currentSplit(): Split {
  const { evalFraction, splitBy, hparams } = useSettings.getState();
  return { fraction: evalFraction, by: splitBy, seed: hparams.seed };
}

const accept = (data: LoadedData) => useData.setState((state) => ({ ...data, version: state.version + 1 }));
const isCancelled = (cause: unknown) => cause instanceof EngineError && cause.code === 'cancelled';

function mayChange(): boolean {
  if (useData.getState().reading) return false;
  if (!isBusy()) return true;
  notice('run-busy', 'Data cannot be changed during a run. Stop it first, or let it finish.');
  return false;
}

/** Has something read, and shows how far it is. */
async function read(role: Role, name: string, totalBytes: number, ask: () => Promise<LoadedData>): Promise<boolean> {
  if (!mayChange()) return false;
  for (const code of ['data-unusable', 'no-usable-rows', 'unknown-schema', 'unpaired']) dismissCode(code);
  useData.setState({ reading: { role, name, bytes: 0, totalBytes }, preview: null, unread: null, large: null });
  try {
    const data = await ask();
    accept(data);
    if (role === 'eval') useData.setState({ evalFile: true });
    const summary = role === 'train' ? data.train : data.eval;
    announce(`${name} read: ${summary?.usable ?? 0} of ${summary?.rows ?? 0} rows are usable.`);
    return true;
  } catch (cause) {
    if (isCancelled(cause)) announce(`Reading ${name} was cancelled.`);
    else reportError(cause);
    return false;
  } finally {
    useData.setState({ reading: null, preview: null });
  }
}

function load(role: Role, name: string, source: DataSource, amount: ReadAmount, bytes = 0): Promise<boolean> {
  return read(role, name, bytes, () => engine.request('loadData', { role, source, amount, split: currentSplit() }));
}

const nameOf = (files: readonly File[]): string =>
  files.length === 1 ? files[0].name : `${files[0].name} and ${plural(files.length - 1, 'more file')}`;

/** Reads files as one set. Very large ones wait for the visitor to say how much of them. */
export async function loadFiles(role: Role, files: File[], chosen?: ReadAmount): Promise<boolean> {
  if (files.length === 0 || !mayChange()) return false;
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  const amount = chosen ?? useData.getState().amount;
  if (amount.kind === 'all' && bytes > LARGE_BYTES && !chosen) {
    useData.setState({ large: { role, files, bytes } });
    return false;
  }
  const done = await load(role, nameOf(files), { files }, amount, bytes);
  if (done && role === 'train') remember('data', null);
  return done;
}

export async function loadText(role: Role, text: string): Promise<boolean> {
  const done = await load(role, 'pasted rows', { text }, { kind: 'all' }, text.length);
  if (done && role === 'train') remember('data', null);
  return done;
}

export async function loadHub(role: Role, hub: Extract<DataSource, { hub: unknown }>['hub']): Promise<boolean> {
  const done = await load(role, `${hub.dataset} ${hub.split}`, { hub }, useData.getState().amount);
  if (done && role === 'train') remember('data', null);
  return done;
}

export async function loadBuiltin(role: Role, id: string, title: string): Promise<boolean> {
  const done = await load(role, title, { builtin: id }, { kind: 'all' });
  if (done && role === 'train') remember('data', id);
  return done;
}

/** Reads the same source again with these columns, or (null) as they are recognised. */
export function mapColumns(role: Role, columns: PairColumns | null): Promise<boolean> {
  const { unread, train, eval: held } = useData.getState();
  const name = unread?.role === role ? unread.name : ((role === 'train' ? train : held)?.name ?? '');
  return read(role, name, 0, () => engine.request('mapColumns', { role, columns, split: currentSplit() }));
}

export async function cancelRead(): Promise<void> {
  await engine.request('cancelRead', {}).catch(reportError);
}

/** What a data set is called on the page: the title of a built-in one, else the file's name. */
export const titleOf = (name: string, offers: DataOffer[]): string =>
  offers.find((offer) => offer.id === name)?.title ?? name;

async function change(ask: () => Promise<LoadedData>): Promise<boolean> {
  if (!mayChange()) return false;
  try {
    accept(await ask());
    return true;
  } catch (cause) {
    reportError(cause);
    return false;
  }
}

export async function clearData(role: Role): Promise<void> {
  const done = await change(() => engine.request('clearData', { role, split: currentSplit() }));
  if (done && role === 'eval') useData.setState({ evalFile: false });
}

export async function removeRows(kind: DuplicateKind, count: number): Promise<void> {
  if (await change(() => engine.request('removeRows', { kind, split: currentSplit() })))
    announce(`${plural(count, 'row')} taken out.`);
}

export async function undoRemoval(): Promise<void> {
  if (await change(() => engine.request('undoRemoval', { split: currentSplit() }))) announce('Rows brought back.');
}

let splitting = false;
let splitAgain = false;

/** Has the engine split again. While one answer is awaited, only the latest wish is kept. */
async function splitNow(): Promise<void> {
  if (!useData.getState().train || useData.getState().evalFile || isBusy()) return;
  if (splitting) {
    splitAgain = true;
    return;
  }
  splitting = true;
  try {
    do {
      splitAgain = false;
      accept(await engine.request('splitData', { split: currentSplit() }));
    } while (splitAgain);
  } catch (cause) {
    reportError(cause);
  } finally {
    splitting = false;
  }
}

/** Keeps the split as the settings say. Called once. */
export function watchSplit(): void {
  useSettings.subscribe((now, before) => {
    const same =
      now.evalFraction === before.evalFraction &&
      now.splitBy === before.splitBy &&
      now.hparams.seed === before.hparams.seed;
    if (!same) void splitNow();
  });
}

/** Downloads the pairs of one side as JSON lines that TRL reads. */
export async function downloadPrepared(role: Role): Promise<void> {
  try {
    const { download } = await engine.request('prepared', { role, settings: dataSettings() });
    await saveStream(download);
    announce(`${download.name} was saved.`);
  } catch (cause) {
    reportError(cause);
  }
}
