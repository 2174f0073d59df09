/** A failure because the device went away, told as that. */
import type { Gpu } from '../gpu/device';
import { GpuError } from '../gpu/errors';

/** Milliseconds in which a device that failed is known to be lost. */
const LOSS_MS = 500;

/**
 * @param isThere whether the studio still holds a device
 * @param message what to say and do when it is gone
 */
export async function explainLoss(
  cause: unknown,
  { device }: Gpu,
  isThere: boolean,
  message: string,
): Promise<unknown> {
  const soon = new Promise((resolve) => setTimeout(resolve, LOSS_MS, 'there'));
  if (isThere && (await Promise.race([device.lost, soon])) === 'there') return cause;
  return new GpuError('device-lost', message, { cause });
}
