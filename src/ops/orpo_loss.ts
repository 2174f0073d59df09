/** The ORPO loss of every pair of a pack and the gradient weight of every entry. */
import source from '../../shaders/orpo_loss.wgsl?raw';
import type { Commands, View } from '../gpu/commands';
import type { KernelProfile } from '../gpu/profile';
import { rowConstants } from './rows';

export interface OrpoLossViews {
  entries: View;
  pairs: View;
  stats: View;
  z: View;
  row_logits: View;
  /** Result: d loss / d log-probability of each entry, negated (spec 1.3's w). */
  weights: View;
  /** Result: eight numbers a pair, see PAIR_RESULT. */
  results: View;
}

/** The numbers of one pair in `results`, in order. */
export const PAIR_RESULT = [
  'nllSum',
  'logpChosen',
  'logpRejected',
  'logOdds',
  'logOddsRatio',
  'logitsChosenSum',
  'logitsRejectedSum',
  'unused',
] as const;

export function orpoLoss(cmd: Commands, profile: KernelProfile, pairs: number, views: OrpoLossViews): void {
  cmd.dispatch({ name: 'orpo loss', source, constants: rowConstants(profile) }, { ...views }, {}, [pairs], 1e3 * pairs);
}
