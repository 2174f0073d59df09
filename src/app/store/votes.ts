/** Blind votes: two answers in an order that only this store knows, until it is told. */
import { create } from 'zustand';
import type { ChatSide, HeldOutPrompt, Vote } from '../../worker/protocol';
import { announce, reportError } from './alerts';
import { chatFormat, chatSampling, chatTokens, fetchOffered, tunedStep, useChat } from './chat';
import { engine } from './client';
import { useRun } from './run';
import { useRuns } from './runs';

/** Two answers to one prompt. */
export interface Round {
  prompt: HeldOutPrompt;
  left: ChatSide;
  texts: Record<ChatSide, string>;
}

interface VotesState {
  round: Round | null;
  /** Whether a vote is going on. */
  open: boolean;
  /** Whether answers are being written. */
  working: boolean;
  /** Prompts that were shown or left out since the last start. */
  seen: string[];
  /** Prompts to which both gave the same answer. */
  same: number;
  revealed: boolean;
  /** Votes on a run that is not kept. */
  own: Vote[];
}

const FRESH = { round: null, open: false, working: false, seen: [], same: 0, revealed: false };

export const useVotes = create<VotesState>(() => ({ ...FRESH, own: [] }));

const NONE: Vote[] = [];
const votesIn = ({ runs }: Pick<ReturnType<typeof useRuns.getState>, 'runs'>, id: string | null) => {
  const kept = runs?.find(({ record }) => record.id === id);
  return kept && (kept.record.votes ?? NONE);
};
/** Undefined for a run that is not kept. */
const keptVotes = (): Vote[] | undefined => votesIn(useRuns.getState(), useRun.getState().id);

/** Every vote on the run at hand. A hook. */
export function useVotesOfRun(): Vote[] {
  const id = useRun((state) => state.id);
  const own = useVotes((state) => state.own);
  return useRuns((state) => votesIn(state, id)) ?? own;
}

const coin = (): boolean => crypto.getRandomValues(new Uint8Array(1))[0] % 2 === 0;

/** Writes two answers to the next prompt that nobody voted on. */
async function nextRound(): Promise<void> {
  useVotes.setState({ round: null, working: true });
  try {
    for (;;) {
      const { seen } = useVotes.getState();
      const { offered } = useChat.getState();
      const prompt = offered?.prompts.find(({ rendered }) => !seen.includes(rendered));
      if (!prompt) return;
      useVotes.setState({ seen: [...seen, prompt.rendered] });
      const answers = await engine.request('chat', {
        answers: (['base', 'tuned'] as const).map((side) => ({ side, prompt: { rendered: prompt.rendered } })),
        sampling: chatSampling(),
        format: chatFormat(),
        tokens: chatTokens(),
      });
      const [base, tuned] = answers;
      if (!useVotes.getState().open || answers.length < 2 || tuned.finish === 'stopped') {
        useVotes.setState({ open: false });
        return;
      }
      if (base.text.trim() !== tuned.text.trim()) {
        const texts = { base: base.text, tuned: tuned.text };
        useVotes.setState({ round: { prompt, left: coin() ? 'base' : 'tuned', texts } });
        announce('Two answers are there to vote on.');
        return;
      }
      // The same words twice say nothing about which is better.
      useVotes.setState(({ same }) => ({ same: same + 1 }));
    }
  } catch (cause) {
    useVotes.setState({ open: false });
    reportError(cause);
  } finally {
    useVotes.setState({ working: false });
  }
}

/** Begins a vote, or goes on with one, over prompts that were not voted on before. */
export async function startVote(): Promise<void> {
  if (useVotes.getState().working) return;
  if (!useChat.getState().offered) await fetchOffered();
  const before = new Set((keptVotes() ?? useVotes.getState().own).map(({ prompt }) => prompt));
  const { prompts = [] } = useChat.getState().offered ?? {};
  const seen = prompts.filter(({ text }) => before.has(text)).map(({ rendered }) => rendered);
  useVotes.setState({ ...FRESH, open: true, seen });
  await nextRound();
}

export const endVote = (): void => useVotes.setState({ open: false, round: null });
export const reveal = (revealed: boolean): void => useVotes.setState({ revealed });
export const skipRound = (): Promise<void> => nextRound();

export async function castVote(choice: 'left' | 'right' | 'tie'): Promise<void> {
  const { round } = useVotes.getState();
  const step = tunedStep();
  if (!round || step === null) return;
  const { prompt, left } = round;
  const right = left === 'base' ? 'tuned' : 'base';
  const { temperature, top_p, seed } = chatSampling();
  const vote: Vote = {
    prompt: prompt.text,
    choice: choice === 'tie' ? 'tie' : choice === 'left' ? left : right,
    step,
    sampling: { temperature, top_p, seed },
    at: Date.now(),
  };
  useVotes.setState({ round: null });
  try {
    const { id } = useRun.getState();
    if (id !== null && keptVotes()) {
      useRuns.setState({ runs: await engine.request('vote', { id, vote }) });
    } else useVotes.setState(({ own }) => ({ own: [...own, vote] }));
  } catch (cause) {
    reportError(cause);
  }
  await nextRound();
}

/** Another run or model: what was going on is over. Called once. */
export function watchVotes(): void {
  useRun.subscribe((now, before) => {
    if (now.startedAt !== before.startedAt || now.id !== before.id) useVotes.setState({ ...FRESH, own: [] });
  });
}
