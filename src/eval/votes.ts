/** Blind votes between the base model's and the tuned model's answers, and what they are worth together. */
import { FEWEST_FLIPS, mcnemarExact } from './statistics';

export type VoteChoice = 'base' | 'tuned' | 'tie';

export interface Vote {
  prompt: string;
  choice: VoteChoice;
  /** Steps of training behind the tuned answer. */
  step: number;
  /** How both answers were drawn; temperature 0 is greedy. */
  sampling: { temperature: number; top_p: number; seed: number };
  /** Milliseconds since 1970. */
  at: number;
}

export interface Tally {
  tuned: number;
  base: number;
  ties: number;
  /** Exact two-sided sign test over the votes that are not ties; null where they are too few to tell. */
  p: number | null;
  /** What can be said, in a sentence. */
  sentence: string;
}

const LEVEL = 0.05;

/**
 * The sign test of Dixon and Mood (1946): if neither model were better, a vote that is no tie would be a fair coin. It is
 * McNemar's exact test over such votes.
 */
export function tallyOf(votes: readonly Pick<Vote, 'choice'>[]): Tally {
  const count = (choice: VoteChoice) => votes.filter((vote) => vote.choice === choice).length;
  const [tuned, base, ties] = [count('tuned'), count('base'), count('tie')];
  const decided = tuned + base;
  if (decided < FEWEST_FLIPS) {
    const what = decided === 0 ? 'no vote decided' : decided === 1 ? '1 vote decided' : `${decided} votes decided`;
    const sentence = `Too few to tell: ${what}, and fewer than ${FEWEST_FLIPS} cannot show a difference at the 5 % level.`;
    return { tuned, base, ties, p: null, sentence };
  }
  const p = mcnemarExact(base, tuned);
  const better = tuned > base ? 'The tuned model' : 'The base model';
  const shown = p < 0.001 ? 'p < 0.001' : `p = ${p.toFixed(3)}`;
  const sentence =
    p < LEVEL
      ? `${better} was preferred in ${Math.max(tuned, base)} of ${decided} decided votes; by chance so clear a result is rare (sign test, ${shown}).`
      : `${decided} decided votes cannot tell the two from chance (sign test, ${shown}).`;
  return { tuned, base, ties, p, sentence };
}
