/** Log-likelihoods of many sequences in packed passes: groups in order, passes filled up to a budget of tokens. */
import { type BranchGroup, branchGroup, packBranches, type ScoredSequence } from '../inference/packing';
import type { InferenceCapacity } from '../inference/plan';
import { type AdapterSource, InferenceSession } from '../inference/session';
import { bindableTokens } from '../model/plan';
import type { LoadedModel } from '../model/session';
import type { EvalControl } from './control';

/** Tokens of one pass unless a single group is longer. */
export const TOKEN_BUDGET = 4096;

/** Sum of a sequence's scored log-probabilities in nats, and their number. */
export interface Score {
  logprob: number;
  tokens: number;
}

export interface ScoreProgress {
  /** Groups done, and tokens computed for one side. */
  groups: number;
  tokens: number;
  totalTokens: number;
}

export interface ScoreOptions {
  /** For each side in turn: whether the adapter is on. */
  sides: readonly boolean[];
  budget?: number;
  /** False: every sequence by itself; for comparison. */
  share?: boolean;
  control?: EvalControl;
  onProgress?(progress: ScoreProgress): void;
}

/** Consecutive groups, as many as the budget holds. */
function* batches(groups: readonly BranchGroup[], budget: number): Generator<BranchGroup[]> {
  let batch: BranchGroup[] = [];
  let tokens = 0;
  for (const group of groups) {
    if (batch.length && tokens + group.tokens > budget) {
      yield batch;
      batch = [];
      tokens = 0;
    }
    batch.push(group);
    tokens += group.tokens;
  }
  if (batch.length) yield batch;
}

/** A group whose branches exceed what one pass may bind is split into smaller ones. */
function withinLimit(group: BranchGroup, most: number, tile: number): BranchGroup[] {
  const { sequences } = group;
  if (group.tokens <= most || sequences.length === 1) return [group];
  const half = Math.ceil(sequences.length / 2);
  const halves = [sequences.slice(0, half), sequences.slice(half)];
  return halves.flatMap((part) => withinLimit(branchGroup(part, tile), most, tile));
}

export interface ScorePlan {
  /** In the order given; a set of sequences is one group, or several where it is too large for a pass. */
  batches: BranchGroup[][];
  capacity: InferenceCapacity;
  tokens: number;
}

/** Passes over sets of sequences that begin alike. */
export function planScores(
  model: LoadedModel,
  sets: readonly (readonly ScoredSequence[])[],
  { budget = TOKEN_BUDGET, share = true }: Pick<ScoreOptions, 'budget' | 'share'> = {},
): ScorePlan {
  const tile = model.gpu.profile.attentionTile;
  const most = bindableTokens(model.config, model.gpu.device.limits);
  const groups = sets.flatMap((sequences) =>
    share
      ? withinLimit(branchGroup(sequences, tile), most, tile)
      : sequences.map((sequence) => branchGroup([sequence], tile)),
  );
  const all = [...batches(groups, Math.min(budget, most))];
  const largest = (key: 'tokens' | 'tiles' | 'rows' | 'entries') =>
    all.reduce(
      (top, batch) =>
        Math.max(
          top,
          batch.reduce((sum, group) => sum + group[key], 0),
        ),
      1,
    );
  const capacity: InferenceCapacity = {
    tokens: largest('tokens'),
    tiles: largest('tiles'),
    rows: largest('rows'),
    entries: largest('entries'),
    positions: groups.reduce((top, group) => Math.max(top, group.positions), 1),
    sequences: 0,
  };
  return { batches: all, capacity, tokens: groups.reduce((sum, group) => sum + group.tokens, 0) };
}

/** Scores of every sequence of every batch in order, for each side. At most two passes are on their way. */
export async function runScores(session: InferenceSession, plan: ScorePlan, options: ScoreOptions): Promise<Score[][]> {
  const { sides, control, onProgress } = options;
  const tile = session.model.gpu.profile.attentionTile;
  const scores: Score[][] = sides.map(() => []);
  let done = 0;
  let tokens = 0;
  const finish = async (batch: BranchGroup[], numbers: () => Promise<Float64Array[]>) => {
    for (const [side, values] of (await numbers()).entries()) {
      let at = 0;
      for (const { ids, scoredFrom } of batch.flatMap((group) => group.sequences)) {
        const count = Math.max(0, ids.length - scoredFrom);
        scores[side].push({ logprob: values.subarray(at, at + count).reduce((a, b) => a + b, 0), tokens: count });
        at += count;
      }
    }
    done += batch.length;
    tokens += batch.reduce((sum, group) => sum + group.tokens, 0);
    onProgress?.({ groups: done, tokens, totalTokens: plan.tokens });
  };
  let waiting: (() => Promise<void>) | null = null;
  for (const batch of plan.batches) {
    await control?.pass();
    const numbers = await session.submit(packBranches(batch, tile), sides);
    await waiting?.();
    waiting = () => finish(batch, numbers);
  }
  await waiting?.();
  return scores;
}

/** Plans, opens a session, scores and frees it again: [side][set][sequence]. */
export async function scoreSets(
  model: LoadedModel,
  adapter: AdapterSource | null,
  sets: readonly (readonly ScoredSequence[])[],
  options: ScoreOptions,
): Promise<Score[][][]> {
  if (sets.length === 0) return options.sides.map(() => []);
  const plan = planScores(model, sets, options);
  const session = await InferenceSession.create(model, plan.capacity, adapter);
  try {
    const flat = await runScores(session, plan, options);
    return flat.map((scores) => {
      let at = 0;
      return sets.map((set) => {
        at += set.length;
        return scores.slice(at - set.length, at);
      });
    });
  } finally {
    session.destroy();
  }
}
