/** The part of the protocol about live logging to Weights & Biases. */
import type { WandbSettings } from '../runs/wandb/client';
import type { WandbStatus } from '../runs/wandb/logger';

export type { WandbSettings } from '../runs/wandb/client';
export type { WandbStatus } from '../runs/wandb/logger';

export interface WandbRequests {
  /** Where runs that begin or go on from now on are logged; null for nowhere. Kept in memory only. */
  setWandb: { args: { settings: WandbSettings | null }; result: null };
}

export type WandbEvent = { event: 'wandb'; status: WandbStatus };
