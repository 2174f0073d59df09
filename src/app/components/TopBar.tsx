import { formatPercent } from '../lib/format';
import { useDevice } from '../store/device';
import { busyState, useRun } from '../store/run';
import { goTo, setTheme, type Theme, useUi } from '../store/ui';
import { Glyph, Mark } from './icons';
import { IconButton } from './ui';

const NEXT: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' };
const ICON = { system: 'system', light: 'sun', dark: 'moon' } as const;

/** A name people know the adapter by. */
export function deviceName(info: { description: string; vendor: string; architecture: string }): string {
  return info.description || [info.vendor, info.architecture].filter(Boolean).join(' ') || 'GPU';
}

function DeviceChip() {
  const { state, info } = useDevice();
  const tone = state === 'ready' ? (info?.isSoftware ? 'warn' : 'good') : state === 'opening' ? 'wait' : 'bad';
  const text =
    state === 'ready' && info
      ? `${info.isSoftware ? 'Software adapter' : deviceName(info)} · ${info.tier}`
      : state === 'opening'
        ? 'Opening the GPU …'
        : state === 'lost'
          ? 'GPU lost'
          : 'No GPU';
  return (
    <button type="button" className="chip" onClick={() => goTo('model')} aria-label={`Device: ${text}`}>
      <span className={`dot ${tone}`} aria-hidden="true" />
      <span className="chip-text">{text}</span>
    </button>
  );
}

function RunChip() {
  const progress = useRun((state) => state.progress);
  if (!progress || !busyState(progress)) return null;
  const share = progress.totalSteps > 0 ? progress.step / progress.totalSteps : 0;
  return (
    <button type="button" className="chip" onClick={() => goTo('train')}>
      <span className="dot pulse" aria-hidden="true" />
      <span className="chip-text">Training · {formatPercent(share)}</span>
    </button>
  );
}

export function TopBar() {
  const theme = useUi((state) => state.theme);
  const step = useUi((state) => state.step);
  return (
    <header className="top-bar">
      <button
        type="button"
        className="skip-link"
        onClick={() => document.querySelector<HTMLElement>('main h1')?.focus()}
      >
        Skip to the content
      </button>
      <p className="brand">
        <Mark />
        ORPO Studio
      </p>
      <div className="top-chips">
        <RunChip />
        <DeviceChip />
      </div>
      <button
        type="button"
        className="chip"
        aria-current={step === 'storage' ? 'page' : undefined}
        onClick={() => goTo('storage')}
      >
        <Glyph name="drive" />
        <span className="chip-text">Storage</span>
      </button>
      <IconButton
        icon={ICON[theme]}
        label={`Theme: ${theme}. Change to ${NEXT[theme]}`}
        onClick={() => setTheme(NEXT[theme])}
      />
    </header>
  );
}
