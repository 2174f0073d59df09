/** A model that is being chosen: where from, what is there, and what it would take. */
import { create } from 'zustand';
import type { MemoryEstimate, ModelPreview, ModelSource, StudioError } from '../../worker/protocol';
import { EngineError } from '../engine';
import { mayRead, rememberFolder } from '../lib/folders';
import { recall, remember } from '../lib/memory';
import { useAccount } from './account';
import { announce, reportError } from './alerts';
import { engine } from './client';
import { useFit } from './fit';
import { loadModel } from './models';
import { useSettings } from './settings';

export const SOURCE_TABS = [
  ['builtin', 'Built in'],
  ['hub', 'Hugging Face'],
  ['folder', 'Folder'],
  ['url', 'Web address'],
] as const;
export type SourceTab = (typeof SOURCE_TABS)[number][0];

interface ChooserState {
  tab: SourceTab;
  /** What is typed on the Hub's tab. */
  repo: string;
  revision: string;
  /** The name of what is being looked at. */
  looking: string | null;
  preview: ModelPreview | null;
  /** Why it cannot be used. */
  problem: StudioError | null;
  /** 16-bit linear layers become NF4 while loading. */
  quantize: boolean;
  memory: MemoryEstimate | null;
}

const KEY = 'source-tab';
const nothing = { looking: null, preview: null, problem: null, memory: null };
const isTab = (tab: string): tab is SourceTab => SOURCE_TABS.some(([id]) => id === tab);
const lastTab = recall<string>(KEY, 'builtin');

export const useChooser = create<ChooserState>(() => ({
  tab: isTab(lastTab) ? lastTab : 'builtin',
  repo: '',
  revision: '',
  quantize: true,
  ...nothing,
}));

let latest = 0;

export function chooseTab(tab: SourceTab): void {
  latest++;
  remember(KEY, tab);
  useChooser.setState({ tab, ...nothing });
}

/** Puts what was found aside. */
export function closePreview(): void {
  latest++;
  useChooser.setState(nothing);
}

/** Has a source looked at: nothing large is fetched. A newer look makes this one's answer void. */
export async function lookAt(source: ModelSource, name: string): Promise<void> {
  const mine = ++latest;
  useChooser.setState({ ...nothing, looking: name });
  try {
    const { token } = useAccount.getState();
    const preview = await engine.request('inspectModel', { source, token: token || undefined });
    if (mine !== latest) return;
    useChooser.setState({ looking: null, preview, quantize: preview.quantizable });
    announce(`${preview.title} can be loaded.`);
    await estimateMemory();
  } catch (cause) {
    if (mine !== latest) return;
    const { code, message, url } = cause instanceof EngineError ? cause : { ...nothingKnown(cause), url: undefined };
    useChooser.setState({ looking: null, problem: { code, message, url } });
  }
}

const nothingKnown = (cause: unknown) => ({
  code: 'unexpected',
  message: cause instanceof Error ? cause.message : String(cause),
});

export const lookAtRepository = (repo: string, revision = ''): Promise<void> => {
  useChooser.setState({ repo, revision });
  return lookAt({ kind: 'hub', repo, revision: revision.trim() || 'main' }, repo.trim());
};

/** Looks at a folder, from whichever step it was dropped on. */
export async function lookAtFolder(source: Extract<ModelSource, { kind: 'folder' | 'files' }>): Promise<void> {
  remember(KEY, 'folder');
  useChooser.setState({ tab: 'folder' });
  try {
    if (source.kind === 'folder' && (await mayRead(source.handle))) await rememberFolder(source.handle);
  } catch (cause) {
    reportError(cause);
    return;
  }
  await lookAt(source, source.kind === 'folder' ? source.handle.name : source.name);
}

export function setQuantize(quantize: boolean): void {
  useChooser.setState({ quantize, memory: null });
  void estimateMemory();
}

/** The memory of a run on what was found, with the settings as they are. */
async function estimateMemory(): Promise<void> {
  const { preview, quantize } = useChooser.getState();
  if (!preview) return;
  const { hparams } = useSettings.getState();
  const { gpuMemory } = useFit.getState();
  const small = !preview.quantizable || quantize;
  try {
    const memory = await engine.request('estimate', {
      shape: { config: preview.config },
      format: small ? 'NF4' : preview.format === 'F32' ? 'F32' : 'BF16',
      hparams: { ...hparams, max_length: Math.min(hparams.max_length, preview.maxPositions) },
      pairs: hparams.per_device_train_batch_size,
      promptShare: 0,
      gpuMemoryBytes: gpuMemory === null ? null : gpuMemory * 1e9,
    });
    if (useChooser.getState().preview === preview && useChooser.getState().quantize === quantize) {
      useChooser.setState({ memory });
    }
  } catch (cause) {
    reportError(cause);
  }
}

/** Loads what was found. */
export async function loadChosen(): Promise<void> {
  const { preview, quantize } = useChooser.getState();
  if (!preview) return;
  const small = preview.quantizable && quantize;
  const done = await loadModel({ id: preview.id, source: preview.source, quantize: small ? 'nf4' : undefined });
  if (done && useChooser.getState().preview === preview) closePreview();
}
