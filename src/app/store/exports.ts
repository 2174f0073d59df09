/** Writing things out. */
import { create } from 'zustand';
import type {
  ExportForm,
  ExportKind,
  ExportOptions,
  ExportProgress,
  ExportSize,
  GgufType,
  MergeBase,
  OutputDtype,
} from '../../worker/protocol';
import { EngineError } from '../engine';
import { pickDirectory, saveStream } from '../lib/save';
import { useAccount } from './account';
import { announce, reportError } from './alerts';
import { engine } from './client';
import { useRun } from './run';

export interface Written {
  files: { name: string; bytes: number }[];
  where: string;
  /** The repository's page. */
  url?: string;
}

interface ExportState {
  dtype: OutputDtype;
  base: MergeBase;
  gguf: GgufType;
  /** Bytes of one safetensors file at most. */
  shardBytes: number;
  /** Made now, if it is not there: only its owner sees it. */
  isPrivate: boolean;
  /** Repositories to upload to, as far as they were typed. */
  repos: Partial<Record<ExportKind, string>>;
  working: ({ kind: ExportKind; cancelling: boolean } & ExportProgress) | null;
  /** What was written last, per kind. */
  done: Partial<Record<ExportKind, Written>>;
}

/** transformers' own size of a file of weights. */
export const SHARD_BYTES = 5e9;

export const useExports = create<ExportState>(() => ({
  dtype: 'BF16',
  base: 'trained',
  gguf: 'Q8_0',
  shardBytes: SHARD_BYTES,
  isPrivate: true,
  repos: {},
  working: null,
  done: {},
}));

export const setExport = (
  change: Partial<Pick<ExportState, 'dtype' | 'base' | 'gguf' | 'shardBytes' | 'isPrivate'>>,
): void => useExports.setState(change);

export const setRepo = (kind: ExportKind, repo: string): void =>
  useExports.setState(({ repos }) => ({ repos: { ...repos, [kind]: repo } }));

/** What is asked for. NF4's other weights stay as the base has them; a GGUF file has no NF4. */
export function formOf(
  kind: ExportKind,
  state: Pick<ExportState, 'dtype' | 'base' | 'gguf' | 'shardBytes'>,
): ExportForm {
  const { base, gguf, shardBytes } = state;
  const dtype = base === 'nf4' ? 'source' : state.dtype;
  return { kind, dtype, base: kind === 'gguf' && base === 'nf4' ? 'trained' : base, gguf, shardBytes };
}

/** How large an export will be; null where the engine cannot tell. */
export async function sizeOf(form: ExportForm): Promise<ExportSize | null> {
  try {
    return await engine.request('exportSize', form);
  } catch {
    return null; // the export itself will say why
  }
}

async function run(kind: ExportKind, target: Pick<ExportOptions, 'directory' | 'hub'>): Promise<void> {
  if (useExports.getState().working) return;
  const start = { kind, cancelling: false, phase: 'writing', bytes: 0, totalBytes: 0, file: '' } as const;
  useExports.setState({ working: start });
  try {
    const options = { ...formOf(kind, useExports.getState()), ...target };
    const { files: written, download, repository } = await engine.request('export', options);
    // A stream's bytes are known once it has run.
    const files = download ? [{ name: download.name, bytes: await saveStream(download) }] : written;
    const place = target.directory ? `folder “${target.directory.name}”` : 'your downloads';
    const where = target.hub ? target.hub.repo : place;
    useExports.setState(({ done }) => ({ done: { ...done, [kind]: { files, where, url: repository?.url } } }));
    if (kind !== 'log-jsonl' && kind !== 'log-csv') useRun.setState({ exported: true });
    announce(`Export written to ${where}.`);
  } catch (cause) {
    if (useExports.getState().working?.cancelling) announce('The export was cancelled.');
    else reportError(cause);
  } finally {
    useExports.setState({ working: null });
  }
}

/** Writes one file to the downloads: a zip, or the log itself. */
export const exportAsFile = (kind: ExportKind): Promise<void> => run(kind, {});

/** Lets the visitor choose a folder and writes the files into it. */
export async function exportToFolder(kind: ExportKind): Promise<void> {
  try {
    const directory = await pickDirectory();
    if (directory) await run(kind, { directory });
  } catch (cause) {
    reportError(cause);
  }
}

/** Uploads to a repository of the Hub, with the visitor's token. */
export async function exportToHub(kind: ExportKind, repo: string): Promise<void> {
  const { token } = useAccount.getState();
  const { isPrivate } = useExports.getState();
  await run(kind, { hub: { repo: repo.trim(), private: isPrivate, token } });
}

export async function cancelExport(): Promise<void> {
  useExports.setState(({ working }) => (working ? { working: { ...working, cancelling: true } } : {}));
  try {
    await engine.request('cancelExport', {});
  } catch (cause) {
    if (!(cause instanceof EngineError)) throw cause;
  }
}

export function exportProgressed(progress: ExportProgress): void {
  useExports.setState(({ working }) => (working ? { working: { ...working, ...progress } } : {}));
}

/** A new run has nothing exported yet. */
export const forgetExports = (): void => useExports.setState({ done: {}, base: 'trained' });
