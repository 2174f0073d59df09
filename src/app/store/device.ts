/** The GPU, or why there is none. */
import { create } from 'zustand';
import type { DeviceInfo, Tier, TierChoice } from '../../worker/protocol';
import { EngineError } from '../engine';
import { HUB_URL } from '../lib/site';
import { announce, notice, reportError } from './alerts';
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

export const tierName = (tier: Tier, { matrixOperands }: DeviceInfo): string =>
  tier === 'subgroup-matrix' ? `${matrixOperands ?? 'f16'} on matrix units` : tier;

/** The engine looks at the GPU, or uses it in another way. What it found wrong since is said aloud. */
export function deviceChanged(info: DeviceInfo): void {
  const known = useDevice.getState().info?.checks ?? [];
  useDevice.setState({ info });
  const before = new Set(known.filter(({ passed }) => !passed).map(({ tier }) => tier));
  for (const { tier, passed } of info.checks) {
    if (passed || before.has(tier)) continue;
    notice(
      `tier-${tier}`,
      `${tierName(tier, info)} gave other numbers than f32 on this GPU, so ${tierName(info.tier, info)} is used. The device card says by how much.`,
    );
  }
}

async function ask(request: Promise<DeviceInfo>): Promise<void> {
  try {
    const info = await request;
    deviceChanged(info);
    announce(`The GPU computes in ${tierName(info.tier, info)}.`);
  } catch (cause) {
    reportError(cause);
  }
}

/** Computes in another tier from now on. */
export const setTier = (tier: TierChoice): Promise<void> => ask(engine.request('setTier', { tier }));

/** Looks at the tier that is wanted once more. */
export const checkTierAgain = (): Promise<void> => ask(engine.request('checkTier', {}));
