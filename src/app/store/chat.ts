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

/** Talk with one model and talk side by side are apart, so that both models of a comparison have read the same. */
type Thread = ChatSide | `both-${ChatSide}`;

export interface Writing {
  /** Whose answer grows. */
  side: ChatSide;
  /** What is there of each answer that was begun. */
  texts: Partial<Record<ChatSide, string>>;
  tokens: number;
}

interface ChatState {
  /** Null until the visitor chooses: side by side where there is a tuned model. */
  mode: ChatMode | null;
  turns: Record<Thread, Turn[]>;
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

const EMPTY: Record<Thread, Turn[]> = { base: [], tuned: [], 'both-base': [], 'both-tuned': [] };

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

export type TalkMode = Exclude<ChatMode, 'vote'>;

export const sidesOf = (mode: TalkMode): ChatSide[] => (mode === 'both' ? ['base', 'tuned'] : [mode]);
export const threadOf = (mode: TalkMode, side: ChatSide): Thread => (mode === 'both' ? `both-${side}` : side);

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

/** Asks the models of a mode; their answers come as the event `answering` first. */
export async function ask(mode: TalkMode): Promise<void> {
  const { draft, from, writing, system } = useChat.getState();
  const text = draft.trim();
  if (text === '' || writing) return;
  // A pair's own prompt is sent as training begins it, unless it was changed.
  const origin = from && from.text.trim() === text && system === null ? from : null;
  const sides = sidesOf(mode);
  const extend = (change: (turns: Turn[], side: ChatSide) => Turn[]) => {
    const { turns } = useChat.getState();
    const changed = sides.map((side) => [threadOf(mode, side), change(turns[threadOf(mode, side)], side)]);
    return { ...turns, ...Object.fromEntries(changed) } as typeof turns;
  };
  const turns = extend((before) => [...before, { role: 'user', content: origin ? origin.text : text }]);
  useChat.setState({ turns, draft: '', from: null, writing: { side: sides[0], texts: {}, tokens: 0 } });
  const order: ChatOrder = {
    answers: sides.map((side) => ({ side, prompt: promptOf(turns[threadOf(mode, side)], origin) })),
    sampling: chatSampling(),
    format: chatFormat(),
    tokens: chatTokens(),
  };
  asked = sides;
  try {
    const answers = await engine.request('chat', order);
    const said = (side: ChatSide): Turn[] =>
      answers
        .filter((answer) => answer.side === side)
        .map((answer) => ({ role: 'assistant', content: answer.text, answer }));
    useChat.setState({ turns: extend((before, side) => [...before, ...said(side)]) });
    announce(answers.map(({ side, text: words }) => `${side === 'base' ? 'Base' : 'Tuned'}: ${words}`).join(' '));
  } catch (cause) {
    // The question goes back into its field.
    useChat.setState({ turns: extend((before) => before.slice(0, -1)), draft: text, from: origin });
    reportError(cause);
  } finally {
    useChat.setState({ writing: null });
  }
}

/** Sides of the order in work. */
let asked: readonly ChatSide[] = [];

export function answerGrew({ index, text, tokens }: { index: number; text: string; tokens: number }): void {
  const side = asked[index];
  useChat.setState(({ writing }) =>
    writing ? { writing: { side, texts: { ...writing.texts, [side]: text }, tokens } } : {},
  );
}

export async function stopAnswer(): Promise<void> {
  try {
    await engine.request('stopChat', {});
  } catch (cause) {
    reportError(cause);
  }
}

/** Begins anew with the models of a mode. */
export function forgetChat(mode: TalkMode): void {
  const empty = Object.fromEntries(sidesOf(mode).map((side) => [threadOf(mode, side), []]));
  useChat.setState(({ turns }) => ({ turns: { ...turns, ...empty } }));
}

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
    useChat.setState(({ turns }) => ({ turns: { ...EMPTY, base: turns.base }, offered: null }));
  });
}
