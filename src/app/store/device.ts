/** The GPU, or why there is none. */
import { create } from 'zustand';
import type { DeviceInfo } from '../../worker/protocol';
import { EngineError } from '../engine';
import { HUB_URL } from '../lib/site';
import { reportError } from './alerts';
import { engine } from './client';

interface DeviceState {
  state: 'opening' | 'ready' | 'missing' | 'lost';
  info: DeviceInfo | null;
  /** Set when there is no GPU to use: `no-webgpu`, `no-adapter`, `device-failed`, … */
  error: { code: string; message: string } | null;
}

export const useDevice = create<DeviceState>(() => ({ state: 'opening', info: null, error: null }));

/** Opens the GPU. The answer tells whether there is one. */
export async function openDevice(): Promise<boolean> {
  useDevice.setState({ state: 'opening', error: null });
  try {
    const info = await engine.request('init', { baseUrl: document.baseURI, hubUrl: HUB_URL });
    useDevice.setState({ state: 'ready', info });
    return true;
  } catch (cause) {
    if (!(cause instanceof EngineError)) reportError(cause);
    const error = cause instanceof EngineError ? { code: cause.code, message: cause.message } : null;
    useDevice.setState({ state: 'missing', info: null, error });
    return false;
  }
}

export function deviceLost(error: { code: string; message: string }): void {
  useDevice.setState({ state: 'lost', error });
}
