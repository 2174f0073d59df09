/** "Will it fit?": the memory plan of a run that is only thought of. */
import { create } from 'zustand';
import type { MemoryEstimate } from '../../worker/protocol';
import { recall, remember } from '../lib/memory';
import { engine } from './client';
import { useSettings } from './settings';

export interface FitQuestion {
  /** Id of a known shape, or "config" for the text below. */
  shape: string;
  configText: string;
  format: 'NF4' | 'BF16';
  maxLength: number;
  pairs: number;
  /** Share of a sequence that is the common prompt, in percent. */
  promptPercent: number;
  /** Of the GPU, in GB (1e9 bytes); null when not said. */
  gpuMemory: number | null;
}

interface FitState extends FitQuestion {
  answer: MemoryEstimate | null;
  problem: string | null;
}

const KEY = 'fit';
const DEFAULTS: FitQuestion = {
  shape: 'llama-3.2-1b',
  configText: '',
  format: 'NF4',
  maxLength: 1024,
  pairs: 2,
  promptPercent: 0,
  gpuMemory: 8,
};

export const useFit = create<FitState>(() => ({
  ...DEFAULTS,
  ...recall<Partial<FitQuestion>>(KEY, {}),
  answer: null,
  problem: null,
}));

let latest = 0;

/** Asks the engine anew; an answer to an older question is dropped. */
export async function askFit(): Promise<void> {
  const question = ++latest;
  const { shape, configText, format, maxLength, pairs, promptPercent, gpuMemory } = useFit.getState();
  if (shape === 'config' && configText.trim() === '') {
    useFit.setState({ answer: null, problem: null });
    return;
  }
  const hparams = { ...useSettings.getState().hparams, max_length: maxLength };
  hparams.max_prompt_length = Math.min(hparams.max_prompt_length, maxLength - 1);
  try {
    const answer = await engine.request('estimate', {
      shape: shape === 'config' ? { config: configText } : { known: shape },
      format,
      hparams,
      pairs,
      promptShare: promptPercent / 100,
      gpuMemoryBytes: gpuMemory === null ? null : gpuMemory * 1e9,
    });
    if (question === latest) useFit.setState({ answer, problem: null });
  } catch (cause) {
    if (question === latest) useFit.setState({ answer: null, problem: (cause as Error).message });
  }
}

export function changeFit(change: Partial<FitQuestion>): void {
  useFit.setState(change);
  const { answer: _answer, problem: _problem, ...question } = useFit.getState();
  remember(KEY, question);
  void askFit();
}
