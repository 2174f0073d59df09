/** The part of the contract about the GPU: see protocol.ts. */
import type { Tier } from '../gpu/tiers';
import type { TierCheck } from '../train/tier-check';

export type { Tier, TierCheck };

/** A tier, or the fastest that the device has. */
export type TierChoice = Tier | 'auto';

export interface DeviceInfo {
  vendor: string;
  architecture: string;
  description: string;
  /** True for an adapter that computes on the CPU: right numbers, hundreds of times slower. */
  isSoftware: boolean;
  /** What is computed in now. */
  tier: Tier;
  /** What the visitor wants on this adapter. */
  choice: TierChoice;
  /** Every tier, slowest first; `missing` is what it needs and this device lacks, null where it can be had. */
  tiers: { tier: Tier; missing: string | null }[];
  /** What its matrix units multiply; null where tier 'subgroup-matrix' cannot be had. */
  matrixOperands: 'f16' | 'f32' | null;
  /** How each tier that was looked at compares with f32 on this adapter. */
  checks: TierCheck[];
  /** How long it took to measure which kernels are fastest on it; null where that was not done. */
  measuredMs: number | null;
  /** What readies the GPU now, for people, e.g. "Checking f16 against f32"; null when nothing does. */
  activity: string | null;
  /** Why the tier that is wanted could not be looked at, so that a slower one is in use; null when nothing went wrong. */
  problem: string | null;
  maxBufferSize: number;
  maxStorageBufferBindingSize: number;
}

export interface DeviceRequests {
  /**
   * Opens the GPU; comes first. `baseUrl` is the page's own address, under which built-in models and data lie;
   * `hubUrl` is that of the Hugging Face Hub, unless it is the usual one. Rejects with code `no-webgpu`, `no-adapter` or `device-failed`.
   */
  init: { args: { baseUrl: string; hubUrl?: string }; result: DeviceInfo };
  /** Computes in another tier from now on, and on later visits with this adapter. Rejects with `busy` while the GPU is in use. */
  setTier: { args: { tier: TierChoice }; result: DeviceInfo };
  /** Measures the GPU and checks the tier that is wanted afresh. Rejects as `setTier`. */
  checkTier: { args: Record<string, never>; result: DeviceInfo };
}

/** The GPU is used in another way from now on, or being looked at. */
export interface DeviceEvent {
  event: 'device';
  info: DeviceInfo;
}
