/** What the page does for a run that the visitor does not watch: the screen stays awake, and its end is told. */

import { create } from 'zustand';
import { recall, remember } from '../lib/memory';
import { notice } from './alerts';
import { isBusy, useRun } from './run';

export const useNotify = create<{ wanted: boolean }>(() => ({ wanted: recall('notify', false) }));

export const canNotify = (): boolean => 'Notification' in window;

/** Asks the browser's permission when it is switched on. */
export async function setNotify(wanted: boolean): Promise<void> {
  if (wanted && Notification.permission !== 'granted' && (await Notification.requestPermission()) !== 'granted') {
    notice(
      'notify-denied',
      'The browser does not let this page notify you. Allow notifications in the site’s settings.',
    );
    return;
  }
  remember('notify', wanted);
  useNotify.setState({ wanted });
}

function tellEnd(): void {
  const { progress, facts } = useRun.getState();
  if (!useNotify.getState().wanted || !document.hidden || !canNotify() || Notification.permission !== 'granted') return;
  if (!progress) return;
  const how = { finished: 'finished', stopped: 'stopped', failed: 'failed' }[progress.state as 'finished'] ?? 'ended';
  new Notification(`Training ${how}`, {
    body: `${facts?.modelTitle ?? 'The model'}: ${progress.step} of ${progress.totalSteps} steps.`,
    tag: 'orpo-studio-run',
  });
}

let lock: WakeLockSentinel | null = null;

/** Browsers let go of the lock when the page is hidden, and refuse it then. */
async function keepAwake(): Promise<void> {
  if (!isBusy() || document.hidden || (lock && !lock.released)) return;
  lock = (await navigator.wakeLock?.request('screen').catch(() => null)) ?? null;
  if (!isBusy()) await lock?.release();
}

/** Called once. */
export function watchRunEnd(): void {
  let busy = false;
  useRun.subscribe(() => {
    const now = isBusy();
    if (now === busy) return;
    busy = now;
    if (now) void keepAwake();
    else {
      void lock?.release();
      tellEnd();
    }
  });
  document.addEventListener('visibilitychange', () => void keepAwake());
}
