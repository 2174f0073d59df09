/** Models on offer, the one that is loaded, and the load under way. */
import { create } from 'zustand';
import type {
  ChatmlTokenSource,
  CuratedModel,
  DataOffer,
  KnownShape,
  ModelOffer,
  ModelProgress,
  ModelSource,
  ModelSummary,
} from '../../worker/protocol';
import { EngineError } from '../engine';
import { remember } from '../lib/memory';
import { askPersistenceQuietly } from '../lib/persistence';
import { useAccount } from './account';
import { announce, dismissCode, notice, reportError } from './alerts';
import { engine } from './client';
import { forgetRun, mayForgetRun } from './run';
import { useSettings } from './settings';

export interface LoadRequest {
  /** What the page calls it while it loads. */
  id: string;
  source: ModelSource;
  /** Its 16-bit linear layers become NF4. */
  quantize?: 'nf4';
  chatml?: ChatmlTokenSource;
}

interface ModelsState {
  offers: ModelOffer[];
  dataOffers: DataOffer[];
  /** Published shapes for a memory plan before any download. */
  shapes: KnownShape[];
  /** Models of the Hub that are known to work. */
  curated: CuratedModel[];
  offersLoaded: boolean;
  model: ModelSummary | null;
  /** How the model was asked for. */
  loaded: LoadRequest | null;
  loadingId: string | null;
  deletingId: string | null;
  progress: ModelProgress | null;
}

export const useModels = create<ModelsState>(() => ({
  offers: [],
  dataOffers: [],
  shapes: [],
  curated: [],
  offersLoaded: false,
  model: null,
  loaded: null,
  loadingId: null,
  deletingId: null,
  progress: null,
}));

const smallestFirst = (offers: ModelOffer[]): ModelOffer[] =>
  offers.toSorted((a, b) => a.downloadBytes - b.downloadBytes);

export async function refreshOffers(): Promise<void> {
  try {
    const { models, data, shapes, curated } = await engine.request('offers', {});
    useModels.setState({ offers: smallestFirst(models), dataOffers: data, shapes, curated, offersLoaded: true });
  } catch (cause) {
    reportError(cause);
  }
}

/** Models from elsewhere in 16 bits are quantised unless the visitor wants them as they are. */
export const quantizedByDefault = ({ source, quantizable }: ModelOffer): boolean =>
  source.kind !== 'builtin' && quantizable;

/** Loads a model, from storage where it is stored. The answer tells whether it is loaded now. */
export async function loadModel(request: LoadRequest): Promise<boolean> {
  if (useModels.getState().loadingId) return false;
  if (!(await mayForgetRun('Loading a model'))) return false;
  const { id, source, quantize, chatml } = request;
  dismissCode('no-model-now');
  const before = useModels.getState().model;
  useModels.setState({ loadingId: id, progress: null });
  if (source.kind === 'hub' || source.kind === 'url') askPersistenceQuietly();
  try {
    const { token } = useAccount.getState();
    const model = await engine.request('loadModel', { source, token: token || undefined, quantize, chatml });
    modelUnloaded(); // unless the event said so already
    useModels.setState({ model, loaded: request });
    useSettings.getState().suggestPreset(model.parameters < 1e6 ? 'quick' : 'standard');
    remember('model', model.origin === 'folder' || model.origin === 'files' ? null : model.id);
    remember('quantize', quantize ?? null);
    announce(`${model.title} is loaded.`);
    return true;
  } catch (cause) {
    if (cause instanceof EngineError && cause.code === 'paused') announce(cause.message);
    else reportError(cause, { label: 'Try again', run: () => void loadModel(request) });
    if (before && !useModels.getState().model) {
      const how = 'Load it or another one to go on.';
      notice('no-model-now', `No model is loaded now: ${before.title} was freed to make room. ${how}`);
    }
    return false;
  } finally {
    useModels.setState({ loadingId: null, progress: null });
    await refreshOffers();
  }
}

/** The engine has freed the model: what was trained on it is gone from the page as well. */
export function modelUnloaded(): void {
  forgetRun();
  useModels.setState({ model: null, loaded: null });
}

/** Loads what is loaded once more, with ChatML's tokens or without. */
export async function reloadModel(chatml?: ChatmlTokenSource): Promise<void> {
  const { loaded } = useModels.getState();
  if (loaded) await loadModel({ ...loaded, chatml });
}

/** Ends the load under way; what has come is kept. */
export async function pauseLoading(): Promise<void> {
  await engine.request('pauseLoading', {}).catch(reportError);
}

/** Ends the load under way and deletes what has come of it. */
export async function cancelLoading(id: string): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    const stop = useModels.subscribe(({ loadingId }) => {
      if (loadingId !== null) return;
      stop();
      resolve();
    });
  });
  await pauseLoading();
  await ended;
  const offer = useModels.getState().offers.find((candidate) => candidate.id === id);
  if (offer && offer.storedBytes < offer.downloadBytes) await deleteModel(id);
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
