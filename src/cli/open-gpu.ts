/** Opening the GPU for a command that can be told its tier. */
import { type Gpu, openGpu } from '../gpu/device';
import { F16_ON_NVIDIA, TIERS, type Tier } from '../gpu/tiers';
import { type DawnOptions, dawn } from './dawn';

/**
 * @param tier what was given to --tier: a tier's name or 'auto'; f32 when nothing was
 * @throws Error when it is neither, or when this device lacks it
 */
export async function openTierGpu(tier: string | undefined, options: DawnOptions = {}): Promise<Gpu> {
  if (tier === undefined || tier === 'f32') return openGpu(await dawn(options));
  if (tier !== 'auto' && !TIERS.includes(tier as Tier)) {
    throw new Error(`--tier ${tier}: there are ${TIERS.join(', ')} and auto`);
  }
  const wanted = tier as Tier | 'auto';
  const api = await dawn({ ...options, toggles: [...(options.toggles ?? []), F16_ON_NVIDIA] });
  const gpu = await openGpu(api, { tier: wanted, softwareTiers: wanted !== 'auto' });
  if (wanted !== 'auto' && gpu.profile.tier !== wanted) {
    throw new Error(`--tier ${tier}: this device has ${gpu.support.tiers.join(', ')}`);
  }
  return gpu;
}
