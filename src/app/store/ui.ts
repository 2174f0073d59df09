/** Which step is shown, and the theme. */
import { create } from 'zustand';
import { recall, remember } from '../lib/memory';

/** The steps of the job, and beside them the list of runs and what is stored. */
export const STEPS = ['model', 'data', 'settings', 'train', 'chat', 'evaluate', 'export', 'runs', 'storage'] as const;
export type Step = (typeof STEPS)[number];
export type Theme = 'system' | 'light' | 'dark';

interface UiState {
  step: Step;
  theme: Theme;
}

const isStep = (text: string): text is Step => (STEPS as readonly string[]).includes(text);
const stepOfAddress = (): Step => {
  const name = location.hash.slice(1);
  return isStep(name) ? name : 'model';
};

export const useUi = create<UiState>(() => ({ step: stepOfAddress(), theme: recall<Theme>('theme', 'system') }));

/** Shows a step; the address carries it, so that back and reload work. */
export function goTo(step: Step): void {
  if (stepOfAddress() !== step || location.hash === '') location.hash = step;
  useUi.setState({ step });
}

const darkQuery = matchMedia('(prefers-color-scheme: dark)');
export const isDark = (theme: Theme): boolean => (theme === 'system' ? darkQuery.matches : theme === 'dark');

function applyTheme(): void {
  document.documentElement.dataset.theme = isDark(useUi.getState().theme) ? 'dark' : 'light';
}

export function setTheme(theme: Theme): void {
  remember('theme', theme);
  useUi.setState({ theme });
  applyTheme();
}

/** Follows the address and the system's theme. Called once. */
export function watchUi(): void {
  applyTheme();
  darkQuery.addEventListener('change', applyTheme);
  addEventListener('hashchange', () => useUi.setState({ step: stepOfAddress() }));
}
