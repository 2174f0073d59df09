/** Learning-rate schedules of transformers' get_scheduler, as a factor of the base rate. */
import type { LrSchedulerType } from './hparams';

/** Factor at the 0-based optimizer step `k`, with `warmup` steps of warm-up out of `total`. */
export function lrFactor(type: LrSchedulerType, k: number, warmup: number, total: number): number {
  if (type === 'constant') return 1;
  if (k < warmup) return k / Math.max(1, warmup);
  const progress = (k - warmup) / Math.max(1, total - warmup);
  switch (type) {
    case 'constant_with_warmup':
      return 1;
    case 'linear':
      return Math.max(0, (total - k) / Math.max(1, total - warmup));
    case 'cosine':
      return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
    case 'inverse_sqrt': {
      const timescale = warmup || 10000;
      return 1 / Math.sqrt((k + timescale - warmup) / timescale);
    }
  }
}
