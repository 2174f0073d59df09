/** The part of the protocol about answers: talking to the base and the tuned model, and blind votes between them. */
import type { Vote } from '../eval/votes';
import type { HParams, RunSummary, Settings } from './protocol';
import type { PromptChoice } from './protocol-data';

export type { Tally, Vote, VoteChoice } from '../eval/votes';
export type { SampleSettings } from '../train/sample-settings';

export type ChatSide = 'base' | 'tuned';

export interface ChatTurn {
  role: string;
  content: string;
}

/** A conversation to answer: its turns, or the text that the prompt format made of a pair's prompt. */
export type ChatPrompt = { turns: ChatTurn[] } | { rendered: string };

export interface HeldOutPrompt {
  /** As its file holds it. */
  text: string;
  /** As training begins it. */
  rendered: string;
  turns: ChatTurn[];
}

/** Names are those of transformers' GenerationConfig. */
export interface ChatSampling {
  /** 0: greedy. */
  temperature: number;
  top_p: number;
  seed: number;
  max_new_tokens: number;
}

export interface ChatOrder {
  /** What is answered, one after the other. The same seed gives both sides the same random numbers. */
  answers: { side: ChatSide; prompt: ChatPrompt }[];
  sampling: ChatSampling;
  format: PromptChoice;
  /** Which token begins a text, and which one training puts after answers. */
  tokens: Pick<HParams, 'bos_token_id' | 'eos_token_id' | 'pad_token_id'>;
}

export interface ChatAnswer {
  side: ChatSide;
  text: string;
  ids: number[];
  promptTokens: number;
  /** `stop`: by a stop token. `length`: at the most new tokens. `stopped`: by the visitor, or because a run needs the GPU. */
  finish: 'stop' | 'length' | 'stopped';
  /** Of writing alone, without reading the prompt; null for answers of one token. */
  tokensPerSecond: number | null;
}

export interface ChatRequests {
  /**
   * Answers as far as it comes; what is there already is told as the event `answering`. `tuned` is the adapter of the run
   * that is paused, has ended or was opened. Rejects with `busy` while a run trains or an evaluation goes on.
   */
  chat: { args: ChatOrder; result: ChatAnswer[] };
  /** Ends the answer in work; it is then as long as it is. */
  stopChat: { args: Record<string, never>; result: null };
  /** Prompts of held-out pairs, or of training pairs where none are held out. */
  heldOutPrompts: {
    args: { settings: Settings; count: number };
    result: { from: 'held-out' | 'training'; prompts: HeldOutPrompt[] };
  };
  /** Adds a vote to a kept run's record. */
  vote: { args: { id: string; vote: Vote }; result: RunSummary[] };
}

export type ChatEvent =
  /** An answer so far; `index` is its place in the order. */
  { event: 'answering'; index: number; text: string; tokens: number };
