/** The page without network: whether this browser keeps it, installing it, and new versions of it. */
import { create } from 'zustand';
import { SERVICE_WORKER, TAKE_OVER, type TakeOver } from '../../offline/messages';
import { plural } from '../lib/format';
import { announce, notice, reportError } from './alerts';
import { isBusy, mayForgetRun, useRun } from './run';

/** What Chromium offers a page that can be installed; not in TypeScript's library. */
interface InstallPrompt extends Event {
  prompt(): Promise<{ outcome: 'accepted' | 'dismissed' }>;
}

interface OfflineState {
  /** `unsupported` as well where the page was not built, as with `npm run dev`. */
  state: 'unsupported' | 'storing' | 'stored' | 'failed';
  install: InstallPrompt | null;
}

const supported = import.meta.env.PROD && 'serviceWorker' in navigator;
export const useOffline = create<OfflineState>(() => ({ state: supported ? 'storing' : 'unsupported', install: null }));

/** A page may stay open for days. */
const LOOK_AGAIN_MS = 3_600_000;

export async function installPage(): Promise<void> {
  const { install } = useOffline.getState();
  if (!install) return;
  // It can be asked once only.
  useOffline.setState({ install: null });
  const { outcome } = await install.prompt();
  if (outcome === 'accepted') announce('The page is installed.');
}

/** Says that there is a new version, once no run is under way. */
function offer(take: () => void): void {
  const show = () => {
    if (isBusy()) return false;
    notice('new-version', 'A new version of this page is ready.', { label: 'Reload', run: take });
    return true;
  };
  if (show()) return;
  const stop = useRun.subscribe(() => {
    if (show()) stop();
  });
}

async function register(): Promise<void> {
  const { Workbox, messageSW } = await import('workbox-window');
  const workbox = new Workbox(new URL(SERVICE_WORKER, document.baseURI).href);
  const registration = await workbox.register();
  if (!registration) return;
  const take = async (): Promise<void> => {
    const { waiting } = registration;
    if (!waiting || !(await mayForgetRun('Reloading'))) return;
    workbox.addEventListener('controlling', () => location.reload());
    const answer: TakeOver = await messageSW(waiting, { type: TAKE_OVER });
    if (answer.done) return;
    notice(
      'version-waits',
      `The new version waits for ${plural(answer.otherTabs, 'other tab')} of this page to be closed.`,
      { label: 'Reload', run: () => void take().catch(reportError) },
    );
  };
  workbox.addEventListener('waiting', () => offer(() => void take().catch(reportError)));
  setInterval(() => void workbox.update().catch(() => {}), LOOK_AGAIN_MS);
  await workbox.active;
  useOffline.setState({ state: 'stored' });
}

/** Called once. */
export function watchOffline(): void {
  addEventListener('beforeinstallprompt', (event) => useOffline.setState({ install: event as InstallPrompt }));
  if (!supported) return;
  // Some browsers and settings forbid it: the page works as before, only not without network.
  register().catch(() => useOffline.setState({ state: 'failed' }));
}
