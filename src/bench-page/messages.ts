/** What the benchmark page and its thread say to one another. */
import type { Measurement } from '../bench/harness';
import type { Tier, TierChoice } from '../worker/protocol-device';
import type { SectionName } from './sections';

export interface BenchDevice {
  adapter: string;
  isSoftware: boolean;
  tier: Tier;
  /** What each tier needs and this device lacks; null where it can be had. */
  tiers: { tier: Tier; missing: string | null }[];
}

export type ToBench = { type: 'open' } | { type: 'start'; sections: SectionName[]; quick: boolean; tier: TierChoice };

/** What is measured by the end of a section, as it is saved. */
export type BenchReport = Record<string, unknown>;

export type FromBench =
  | { type: 'device'; device: BenchDevice }
  | { type: 'began'; section: SectionName }
  | { type: 'line'; section: SectionName; line: string }
  | { type: 'measured'; section: SectionName; list: readonly Measurement[] }
  | { type: 'failed'; section: SectionName | null; message: string }
  | { type: 'report'; report: BenchReport }
  | { type: 'done' };
