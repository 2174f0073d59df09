/** Writing things out. */
import { create } from 'zustand';
import type { ExportKind, MergeBase, OutputDtype } from '../../worker/protocol';
import { pickDirectory, saveStream } from '../lib/save';
import { announce, reportError } from './alerts';
import { engine } from './client';
import { useRun } from './run';

interface ExportState {
  dtype: OutputDtype;
  base: MergeBase;
  working: { kind: ExportKind; bytes: number; totalBytes: number; file: string } | null;
  /** What was written last, per kind. */
  done: Partial<Record<ExportKind, { files: { name: string; bytes: number }[]; where: string }>>;
}

export const useExports = create<ExportState>(() => ({ dtype: 'BF16', base: 'trained', working: null, done: {} }));

export const setDtype = (dtype: OutputDtype): void => useExports.setState({ dtype });

export const setBase = (base: MergeBase): void => useExports.setState({ base });

async function run(kind: ExportKind, directory: FileSystemDirectoryHandle | undefined): Promise<void> {
  if (useExports.getState().working) return;
  useExports.setState({ working: { kind, bytes: 0, totalBytes: 0, file: '' } });
  try {
    const { dtype, base } = useExports.getState();
    const options = directory ? { kind, dtype, base, directory } : { kind, dtype, base };
    const { files: written, download } = await engine.request('export', options);
    // A stream's bytes are known once it has run.
    const files = download ? [{ name: download.name, bytes: await saveStream(download) }] : written;
    const where = directory ? `folder “${directory.name}”` : `your downloads`;
    useExports.setState(({ done }) => ({ done: { ...done, [kind]: { files, where } } }));
    if (kind === 'merged' || kind === 'adapter') useRun.setState({ exported: true });
    announce(`Export written to ${where}.`);
  } catch (cause) {
    reportError(cause);
  } finally {
    useExports.setState({ working: null });
  }
}

/** Writes one file to the downloads: a zip, or the log itself. */
export const exportAsFile = (kind: ExportKind): Promise<void> => run(kind, undefined);

/** Lets the visitor choose a folder and writes the files into it. */
export async function exportToFolder(kind: ExportKind): Promise<void> {
  try {
    const directory = await pickDirectory();
    if (directory) await run(kind, directory);
  } catch (cause) {
    reportError(cause);
  }
}

export function exportProgressed(progress: { bytes: number; totalBytes: number; file: string }): void {
  useExports.setState(({ working }) => (working ? { working: { ...working, ...progress } } : {}));
}

/** A new run has nothing exported yet. */
export const forgetExports = (): void => useExports.setState({ done: {}, base: 'trained' });
