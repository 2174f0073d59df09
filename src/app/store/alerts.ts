/** What went wrong or needs to be known, as sentences; and what a screen reader is told. */
import { create } from 'zustand';
import { EngineError } from '../engine';

export interface Alert {
  id: number;
  code: string;
  message: string;
  tone: 'error' | 'notice';
  /** Where a person can do something about it. */
  url?: string;
  action?: { label: string; run(): void };
}

interface AlertState {
  alerts: Alert[];
  /** Latest announcement for the polite live region; the count makes equal texts differ. */
  announcement: { text: string; count: number };
}

export const useAlerts = create<AlertState>(() => ({ alerts: [], announcement: { text: '', count: 0 } }));

let nextId = 1;

function show(alert: Omit<Alert, 'id'>): void {
  useAlerts.setState(({ alerts }) => ({
    alerts: [
      ...alerts.filter((other) => other.code !== alert.code || other.message !== alert.message).slice(-4),
      { ...alert, id: nextId++ },
    ],
  }));
}

/** Shows an error as a dismissible alert. Unknown errors are shown too: nothing fails silently. */
export function reportError(cause: unknown, action?: Alert['action']): void {
  if (cause instanceof EngineError) {
    const reload = { label: 'Reload the page', run: () => location.reload() };
    show({
      code: cause.code,
      message: cause.message,
      tone: 'error',
      url: cause.url,
      action: action ?? (cause.code === 'engine-crashed' ? reload : undefined),
    });
    return;
  }
  const message = cause instanceof Error ? cause.message : String(cause);
  const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : 'unexpected';
  const text =
    code === 'unexpected' ? `Something unexpected happened: ${message}. Try again, or reload the page.` : message;
  show({ code, message: text, tone: 'error', action });
}

export const notice = (code: string, message: string, action?: Alert['action']): void =>
  show({ code, message, tone: 'notice', action });

export const dismissAlert = (id: number): void =>
  useAlerts.setState(({ alerts }) => ({ alerts: alerts.filter((alert) => alert.id !== id) }));

export const dismissCode = (code: string): void =>
  useAlerts.setState(({ alerts }) => ({ alerts: alerts.filter((alert) => alert.code !== code) }));

export const announce = (text: string): void =>
  useAlerts.setState(({ announcement }) => ({ announcement: { text, count: announcement.count + 1 } }));
