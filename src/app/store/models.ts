/** Models on offer, the one that is loaded, and the load under way. */
import { create } from 'zustand';
import type {
  ChatmlTokenSource,
  DataOffer,
  KnownShape,
  ModelOffer,
  ModelProgress,
  ModelSummary,
} from '../../worker/protocol';
import { remember } from '../lib/memory';
import { announce, reportError } from './alerts';
import { engine } from './client';
import { forgetRun, mayForgetRun } from './run';
import { useSettings } from './settings';

interface ModelsState {
  offers: ModelOffer[];
  dataOffers: DataOffer[];
  /** Published shapes for a memory plan before any download. */
  shapes: KnownShape[];
  offersLoaded: boolean;
  model: ModelSummary | null;
  loadingId: string | null;
  deletingId: string | null;
  progress: ModelProgress | null;
}

export const useModels = create<ModelsState>(() => ({
  offers: [],
  dataOffers: [],
  shapes: [],
  offersLoaded: false,
  model: null,
  loadingId: null,
  deletingId: null,
  progress: null,
}));

const smallestFirst = (offers: ModelOffer[]): ModelOffer[] =>
  offers.toSorted((a, b) => a.downloadBytes - b.downloadBytes);

export async function refreshOffers(): Promise<void> {
  try {
    const { models, data, shapes } = await engine.request('offers', {});
    useModels.setState({ offers: smallestFirst(models), dataOffers: data, shapes, offersLoaded: true });
  } catch (cause) {
    reportError(cause);
  }
}

/** Loads a model, from storage where it is stored. The answer tells whether it is loaded now. */
export async function loadModel(id: string, chatml?: ChatmlTokenSource): Promise<boolean> {
  if (useModels.getState().loadingId) return false;
  if (!(await mayForgetRun('Loading a model'))) return false;
  useModels.setState({ loadingId: id, progress: null });
  try {
    const model = await engine.request('loadModel', { id, chatml });
    forgetRun();
    useModels.setState({ model });
    const small = useModels.getState().offers.find((offer) => offer.id === id)?.fineOnCpu;
    useSettings.getState().suggestPreset(small ? 'quick' : 'standard');
    remember('model', id);
    announce(`${model.title} is loaded.`);
    return true;
  } catch (cause) {
    reportError(cause, { label: 'Try again', run: () => void loadModel(id, chatml) });
    return false;
  } finally {
    useModels.setState({ loadingId: null, progress: null });
    await refreshOffers();
  }
}

/** Deletes a model's files from storage. */
export async function deleteModel(id: string): Promise<void> {
  useModels.setState({ deletingId: id });
  try {
    useModels.setState({ offers: smallestFirst(await engine.request('deleteModel', { id })) });
    announce('Deleted from this browser’s storage.');
  } catch (cause) {
    reportError(cause);
  } finally {
    useModels.setState({ deletingId: null });
  }
}
