/** Step counts and learning rates as transformers' Trainer computes them. */
export type LrSchedule = 'linear' | 'cosine' | 'constant' | 'constant_with_warmup' | 'inverse_sqrt';

/** Optimizer steps of a run: the last, short accumulation group of an epoch counts as a step. */
export function totalSteps(rows: number, batchSize: number, accumulation: number, epochs: number, maxSteps = -1) {
  if (maxSteps > 0) return maxSteps;
  const batches = Math.ceil(rows / batchSize);
  const perEpoch = Math.max(Math.ceil(batches / accumulation), 1);
  return Math.ceil(epochs * perEpoch);
}

/** A value in (0, 1) is a share of all steps. */
export const warmupSteps = (setting: number, total: number) =>
  setting > 0 && setting < 1 ? Math.ceil(total * setting) : setting;

/** Factor on the learning rate for optimizer step `k` (0-based) with `w` warmup steps of `total`. */
export function lrFactor(kind: LrSchedule, k: number, w: number, total: number): number {
  if (kind === 'constant') return 1;
  if (k < w) return k / Math.max(1, w);
  const progress = (k - w) / Math.max(1, total - w);
  switch (kind) {
    case 'constant_with_warmup':
      return 1;
    case 'linear':
      return Math.max(0, (total - k) / Math.max(1, total - w));
    case 'cosine':
      return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
    case 'inverse_sqrt': {
      const timescale = w || 10_000;
      return 1 / Math.sqrt((k + timescale - w) / timescale);
    }
  }
}
