/** What is kept in this browser, how it is kept, and getting rid of it. */
import { create } from 'zustand';
import type { StorageReport, StoredItem } from '../../worker/protocol';
import { formatBytes } from '../lib/format';
import { askPersistence } from '../lib/persistence';
import { announce, notice, reportError } from './alerts';
import { engine } from './client';
import { askConfirm } from './confirm';
import { refreshOffers, useModels } from './models';
import { refreshRuns } from './runs';

interface StorageState {
  /** Null until the engine has answered. */
  report: StorageReport | null;
  measuring: boolean;
  /** `kind/id` of what is being deleted. */
  deleting: string | null;
}

export const useStorage = create<StorageState>(() => ({ report: null, measuring: false, deleting: null }));

export const keyOf = ({ kind, id }: Pick<StoredItem, 'kind' | 'id'>): string => `${kind}/${id}`;

export async function refreshStorage(): Promise<void> {
  try {
    useStorage.setState({ report: await engine.request('storage', {}) });
  } catch (cause) {
    reportError(cause, { label: 'Try again', run: () => void refreshStorage() });
  }
}

export async function measureStorage(): Promise<void> {
  if (useStorage.getState().measuring) return;
  useStorage.setState({ measuring: true });
  try {
    useStorage.setState({ report: await engine.request('measureStorage', {}) });
    announce('Storage is measured.');
  } catch (cause) {
    reportError(cause);
  } finally {
    useStorage.setState({ measuring: false });
  }
}

/** What is lost with it. */
function consequence({ kind, id, bytes }: StoredItem): string {
  const size = `Its ${formatBytes(bytes)} are removed from this browser’s storage`;
  if (kind === 'run') return `${size}: settings, curves, checkpoints and adapter. This cannot be undone.`;
  const loaded = useModels.getState().model?.id === id ? ' It stays loaded until the page is closed.' : '';
  return `${size}.${loaded} Using it again downloads it again.`;
}

/** Deletes something for good, after a question. */
export async function deleteStored(item: StoredItem): Promise<void> {
  const question = {
    title: `Delete ${item.name}?`,
    text: consequence(item),
    confirm: 'Delete from storage',
    cancel: 'Keep it',
  };
  if (!(await askConfirm(question))) return;
  const { kind, id } = item;
  useStorage.setState({ deleting: keyOf(item) });
  try {
    useStorage.setState({ report: await engine.request('deleteStored', { kind, id }) });
    announce(`${item.name} is deleted from this browser’s storage.`);
    await (kind === 'run' ? refreshRuns() : refreshOffers());
  } catch (cause) {
    reportError(cause);
    await refreshStorage();
  } finally {
    useStorage.setState({ deleting: null });
  }
}

/** Asks the browser to keep this site's data when the disk runs full. Some ask the visitor, some decide themselves. */
export async function askToKeep(): Promise<void> {
  try {
    if (await askPersistence()) announce('The browser keeps what is stored here.');
    else {
      notice(
        'not-persisted',
        'The browser did not agree to keep this site’s data. It does so for sites that are used often, bookmarked or ' +
          'installed, and never in a private window. Until then it may clear models away when the disk runs full.',
      );
    }
  } catch (cause) {
    reportError(cause);
  }
  await refreshStorage();
}
