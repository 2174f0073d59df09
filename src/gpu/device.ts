/** Opening the GPU: which adapter it is, what it can do, and which tier of kernels to use on it. */
import { GpuError } from './errors';
import { type KernelProfile, profileFor, type TileChoice } from './profile';
import { TIER_FEATURES, TIERS, type Tier, type TierSupport, tierSupport } from './tiers';

export interface Gpu {
  readonly device: GPUDevice;
  readonly info: GPUAdapterInfo;
  /** An adapter that computes on the CPU (SwiftShader, lavapipe, WARP). */
  readonly isSoftware: boolean;
  readonly profile: KernelProfile;
  /** The tiers that this device has. */
  readonly support: TierSupport;
  /** Tiles that were measured to be best on it; none when absent. */
  readonly tiles?: TileChoice;
  /** What the device refused outside any error scope, e.g. a kernel that this driver cannot compile. Empty when all is well. */
  readonly faults: readonly string[];
  /** Resolves with a sentence when the device goes away, whatever the reason. */
  readonly lost: Promise<string>;
}

export interface OpenOptions {
  /** Limits to ask for instead of the adapter's own, e.g. to test small bindings. */
  limits?: Record<string, number>;
  /** The tier to compute in, 'f32' when absent; the next slower one where the device lacks it. 'auto': the fastest it has. */
  tier?: Tier | 'auto';
  /** Also on adapters that compute on the CPU, where faster tiers are slower: for tests of their kernels. */
  softwareTiers?: boolean;
}

const WANTED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupsPerDimension',
] as const;

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|basic render|warp|software/i;

export function isSoftwareAdapter(info: GPUAdapterInfo): boolean {
  return (
    info.isFallbackAdapter === true ||
    SOFTWARE.test(`${info.vendor} ${info.architecture} ${info.device} ${info.description}`)
  );
}

/**
 * Opens the best adapter with its own limits raised.
 * @throws GpuError `no-webgpu`, `no-adapter` or `device-failed`
 */
export async function openGpu(api: GPU | undefined, options: OpenOptions = {}): Promise<Gpu> {
  if (!api) {
    throw new GpuError(
      'no-webgpu',
      'This browser has no WebGPU. Use Chrome or Edge 121 or newer over https or on localhost.',
    );
  }
  // Chrome on Windows ignores the preference and warns about it.
  const onWindows = /Win/.test(globalThis.navigator?.platform ?? '');
  const adapter = await api.requestAdapter(onWindows ? {} : { powerPreference: 'high-performance' });
  if (!adapter) {
    throw new GpuError(
      'no-adapter',
      'WebGPU is here but offers no GPU. Turn on hardware acceleration in the browser settings and look at chrome://gpu.',
    );
  }
  const limits: Record<string, number> = {};
  for (const name of WANTED_LIMITS) {
    const own = adapter.limits[name];
    if (own !== undefined) limits[name] = own;
  }
  Object.assign(limits, options.limits);
  const features = (['timestamp-query', ...TIER_FEATURES] as GPUFeatureName[]).filter((f) => adapter.features.has(f));
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({ requiredLimits: limits, requiredFeatures: features });
  } catch (cause) {
    throw new GpuError('device-failed', `The GPU could not be opened: ${(cause as Error).message}`, { cause });
  }
  const faults: string[] = [];
  device.addEventListener('uncapturederror', (event) => {
    event.preventDefault();
    faults.push(event.error.message);
  });
  const lost = device.lost.then(
    (loss) =>
      `The GPU was lost (${loss.message || 'no reason given'}). Close other programs that use it and load the model again.`,
  );
  const isSoftware = isSoftwareAdapter(adapter.info);
  const support = await tierSupport(device, adapter.info, isSoftware && !options.softwareTiers);
  const profile = profileFor(device, isSoftware, chooseTier(support, options.tier ?? 'f32'), support.matrix);
  return { device, info: adapter.info, isSoftware, profile, support, faults, lost };
}

/**
 * The tier that is wanted, or the next slower one that the device has. 'auto' leaves matrix units for f32 alone: nobody has measured
 * whether they are faster than tier f16.
 */
export function chooseTier({ tiers, matrix }: TierSupport, wanted: Tier | 'auto'): Tier {
  const fastest = matrix?.operands === 'f32' ? 'f16' : TIERS[TIERS.length - 1];
  const most = TIERS.indexOf(wanted === 'auto' ? fastest : wanted);
  return tiers.filter((tier) => TIERS.indexOf(tier) <= most).at(-1)!;
}

/** The same device computing in another tier, or with other tiles. */
export function withTier(gpu: Gpu, tier: Tier | 'auto', tiles: TileChoice | undefined = gpu.tiles): Gpu {
  const { device, isSoftware, support } = gpu;
  const chosen = chooseTier(support, tier);
  const profile = profileFor(device, isSoftware, chosen, support.matrix, tiles);
  return { ...gpu, profile, tiles };
}
