/** Conversations with the base and the tuned model. */
import { create } from 'zustand';
import {
  type ChatAnswer,
  type ChatOrder,
  type ChatPrompt,
  type ChatSampling,
  type ChatSide,
  DEFAULT_HPARAMS,
  type HeldOutPrompt,
  type PromptChoice,
} from '../../worker/protocol';
import { announce, reportError } from './alerts';
import { engine } from './client';
import { useData } from './data';
import { useModels } from './models';
import { hasAdapter, useRun } from './run';
import { runSettings, useSettings } from './settings';

export type ChatMode = 'tuned' | 'base' | 'both' | 'vote';

export interface Turn {
  role: 'user' | 'assistant';
  content: string;
  /** Of the assistant's turns. */
  answer?: ChatAnswer;
}

export interface Writing {
  side: ChatSide;
  text: string;
  tokens: number;
}

interface ChatState {
  /** Null until the visitor chooses: side by side where there is a tuned model. */
  mode: ChatMode | null;
  turns: Record<ChatSide, Turn[]>;
  /** The answer in work. */
  writing: Writing | null;
  draft: string;
  /** The prompt that the draft was taken from. */
  from: HeldOutPrompt | null;
  /** Null: that of the prompt format. */
  system: string | null;
  sampled: boolean;
  sampling: ChatSampling;
  offered: { from: 'held-out' | 'training'; prompts: HeldOutPrompt[] } | null;
}

const EMPTY: Record<ChatSide, Turn[]> = { base: [], tuned: [] };

export const useChat = create<ChatState>(() => ({
  mode: null,
  turns: EMPTY,
  writing: null,
  draft: '',
  from: null,
  system: null,
  sampled: false,
  sampling: { temperature: 0.8, top_p: 0.95, seed: 42, max_new_tokens: 128 },
  offered: null,
}));

export const setChat = (change: Partial<Pick<ChatState, 'mode' | 'draft' | 'from' | 'system' | 'sampled'>>): void =>
  useChat.setState(change);

export const setSampling = (change: Partial<ChatSampling>): void =>
  useChat.setState(({ sampling }) => ({ sampling: { ...sampling, ...change } }));

/** How answers are drawn; greedy ones need no more than their length. */
export function chatSampling(): ChatSampling {
  const { sampled, sampling } = useChat.getState();
  return sampled ? sampling : { ...sampling, temperature: 0, top_p: 1 };
}

const stepOf = (run: ReturnType<typeof useRun.getState>): number | null => {
  const { progress } = run;
  if (hasAdapter(run) || progress?.state === 'paused') return progress!.step;
  return null;
};

/** Steps behind the tuned model that can be talked to now; null when there is none. */
export const useTunedStep = (): number | null => useRun(stepOf);
export const tunedStep = (): number | null => stepOf(useRun.getState());

/** What is shown: a mode that needs a tuned model only where there is one. */
export function useMode(): ChatMode {
  const mode = useChat((state) => state.mode);
  const tuned = useTunedStep() !== null;
  if (!tuned) return 'base';
  return mode ?? 'both';
}

export const sidesOf = (mode: ChatMode): ChatSide[] =>
  mode === 'both' || mode === 'vote' ? ['base', 'tuned'] : [mode];

/** The prompt format of the run at hand, else that of the settings. */
export function chatFormat(): PromptChoice {
  const { facts } = useRun.getState();
  const { system } = useChat.getState();
  const prompt = facts?.settings.prompt ?? useSettings.getState().prompt;
  const format = (facts?.format ?? prompt.format) as PromptChoice['format'];
  return { ...prompt, format, system: system ?? prompt.system };
}

/** Which tokens begin and end texts: those of the run at hand, else those of the settings. */
export function chatTokens(): ChatOrder['tokens'] {
  const hparams = useRun.getState().facts?.settings.hparams ?? useSettings.getState().hparams ?? DEFAULT_HPARAMS;
  const { bos_token_id, eos_token_id, pad_token_id } = hparams;
  return { bos_token_id, eos_token_id, pad_token_id };
}

const promptOf = (turns: readonly Turn[], from: HeldOutPrompt | null): ChatPrompt =>
  from && turns.length === 1
    ? { rendered: from.rendered }
    : { turns: turns.map(({ role, content }) => ({ role, content })) };

/** Asks each of these sides; the answers come as the event `answering` first. */
export async function ask(sides: readonly ChatSide[]): Promise<void> {
  const { draft, from, writing, system } = useChat.getState();
  const text = draft.trim();
  if (text === '' || writing) return;
  // A pair's own prompt is sent as training begins it, unless it was changed.
  const origin = from && from.text.trim() === text && system === null ? from : null;
  const turn: Turn = { role: 'user', content: origin ? origin.text : text };
  const added = (turns: Record<ChatSide, Turn[]>) =>
    Object.fromEntries(sides.map((side) => [side, [...turns[side], turn]])) as Partial<Record<ChatSide, Turn[]>>;
  useChat.setState(({ turns }) => ({
    turns: { ...turns, ...added(turns) },
    draft: '',
    from: null,
    writing: { side: sides[0], text: '', tokens: 0 },
  }));
  const { turns } = useChat.getState();
  const order: ChatOrder = {
    answers: sides.map((side) => ({ side, prompt: promptOf(turns[side], origin) })),
    sampling: chatSampling(),
    format: chatFormat(),
    tokens: chatTokens(),
  };
  asked = sides;
  try {
    const answers = await engine.request('chat', order);
    useChat.setState((state) => {
      const now = { ...state.turns };
      for (const answer of answers) {
        now[answer.side] = [...now[answer.side], { role: 'assistant', content: answer.text, answer }];
      }
      return { turns: now };
    });
    announce(answers.map(({ side, text: said }) => `${side === 'base' ? 'Base' : 'Tuned'}: ${said}`).join(' '));
  } catch (cause) {
    // The question goes back into its field.
    useChat.setState((state) => {
      const back = sides.map((side) => [side, state.turns[side].slice(0, -1)]);
      return { turns: { ...state.turns, ...Object.fromEntries(back) }, draft: text, from: origin };
    });
    reportError(cause);
  } finally {
    useChat.setState({ writing: null });
  }
}

/** Sides of the order in work. */
let asked: readonly ChatSide[] = [];

export function answerGrew({ index, text, tokens }: { index: number; text: string; tokens: number }): void {
  useChat.setState(({ writing }) => (writing ? { writing: { side: asked[index], text, tokens } } : {}));
}

export async function stopAnswer(): Promise<void> {
  try {
    await engine.request('stopChat', {});
  } catch (cause) {
    reportError(cause);
  }
}

export const forgetChat = (): void => useChat.setState({ turns: EMPTY });

/** Prompts that can be tried: those of held-out pairs. */
export async function fetchOffered(): Promise<void> {
  if (!useModels.getState().model || !useData.getState().train) return;
  try {
    const settings = useRun.getState().facts?.settings ?? runSettings();
    useChat.setState({ offered: await engine.request('heldOutPrompts', { settings, count: OFFERED }) });
  } catch (cause) {
    reportError(cause);
  }
}

const OFFERED = 100;

/** Forgets what another model or run has said. Called once. */
export function watchChat(): void {
  useModels.subscribe((now, before) => {
    if (now.model !== before.model) useChat.setState({ turns: EMPTY, offered: null, system: null });
  });
  useData.subscribe((now, before) => {
    if (now.version !== before.version) useChat.setState({ offered: null });
  });
  useRun.subscribe((now, before) => {
    if (now.startedAt === before.startedAt && now.id === before.id) return;
    useChat.setState(({ turns }) => ({ turns: { ...turns, tuned: [] }, offered: null }));
  });
}
