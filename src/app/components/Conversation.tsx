/** What was said with one model, or with both side by side, and the field for the next question. */
import { type FormEvent, type KeyboardEvent, useEffect, useId, useRef } from 'react';
import type { ChatSide } from '../../worker/protocol';
import { formatCount } from '../lib/format';
import {
  ask,
  fetchOffered,
  forgetChat,
  setChat,
  sidesOf,
  stopAnswer,
  type TalkMode,
  type Turn,
  threadOf,
  useChat,
  useTunedStep,
} from '../store/chat';
import { useData } from '../store/data';
import { useModels } from '../store/models';
import { busyState, useRun } from '../store/run';
import { Button } from './ui';

/** Prompts on offer at a time. */
const SHOWN = 4;

function noteOf({ answer }: Turn): string | null {
  if (!answer) return null;
  const { ids, finish, tokensPerSecond } = answer;
  const rate = tokensPerSecond === null ? '' : ` · ${tokensPerSecond.toFixed(tokensPerSecond < 10 ? 1 : 0)} a second`;
  const end = { stop: '', length: ' · cut off at the most new tokens', stopped: ' · stopped' }[finish];
  return `${formatCount(ids.length)} ${ids.length === 1 ? 'token' : 'tokens'}${rate}${end}`;
}

function Said({ turn, side }: { turn: Turn; side: ChatSide }) {
  const note = noteOf(turn);
  const who = turn.role === 'user' ? 'You' : side === 'base' ? 'Base' : 'Tuned';
  return (
    <li className={`said ${turn.role}`}>
      <span className="visually-hidden">{who}: </span>
      <p className="said-text">{turn.content.trim() || (turn.role === 'assistant' ? '(an empty answer)' : '')}</p>
      {note && <p className="fine number">{note}</p>}
    </li>
  );
}

function Column({ side, mode }: { side: ChatSide; mode: TalkMode }) {
  const both = mode === 'both';
  const turns = useChat((state) => state.turns[threadOf(mode, side)]);
  const writing = useChat((state) => state.writing);
  const step = useTunedStep();
  const list = useRef<HTMLOListElement>(null);
  const title = side === 'base' ? 'Base' : `Tuned, ${formatCount(step ?? 0)} steps`;
  const text = writing ? (writing.texts[side] ?? '') : null;
  const waiting = writing?.side !== side && writing?.texts[side] === undefined;
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is new is below
  useEffect(() => {
    list.current?.scrollTo({ top: list.current.scrollHeight });
  }, [turns, text]);
  return (
    <section className="card conversation" aria-label={title}>
      <h2>
        <span className={`swatch ${side === 'base' ? 's-base' : 's-tuned'}`} aria-hidden="true" />
        {title}
      </h2>
      {turns.length === 0 ? (
        <p className="conversation-empty muted">
          {both ? 'Its answers come here.' : `Ask something: the ${side} model answers here.`}
        </p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
        <ol className="said-list" ref={list} tabIndex={0} aria-label={`What was said, ${title}`}>
          {turns.map((turn, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: turns are only ever added
            <Said key={i} turn={turn} side={side} />
          ))}
          {text !== null && turns.at(-1)?.role === 'user' && (
            <li className="said assistant" aria-busy="true">
              {waiting ? (
                <p className="fine">waits for its turn …</p>
              ) : (
                <p className="said-text">
                  {text.trimStart()}
                  {writing?.side === side && <span className="caret" aria-hidden="true" />}
                </p>
              )}
            </li>
          )}
        </ol>
      )}
    </section>
  );
}

function Offered({ disabled }: { disabled: boolean }) {
  const offered = useChat((state) => state.offered);
  const model = useModels((state) => state.model);
  const version = useData((state) => state.version);
  const pairs = useData((state) => state.trainPairs);
  // biome-ignore lint/correctness/useExhaustiveDependencies: other data has other prompts
  useEffect(() => {
    if (!offered) void fetchOffered();
  }, [offered, model, version, pairs]);
  if (!offered?.prompts.length) return null;
  return (
    <div className="offered">
      <span className="fine" id="offered-title">
        {offered.from === 'held-out' ? 'Prompts of held-out pairs' : 'Prompts of training pairs'}
      </span>
      <ul aria-labelledby="offered-title">
        {offered.prompts.slice(0, SHOWN).map((prompt) => (
          <li key={prompt.rendered}>
            <button
              type="button"
              className="chip"
              title={prompt.text}
              disabled={disabled}
              onClick={() => setChat({ draft: prompt.text.trim(), from: prompt })}
            >
              <span className="chip-text">{prompt.text.trim()}</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** Why nothing can be asked now, or null. */
export function useHindrance(): string | null {
  const model = useModels((state) => state.model);
  const loading = useModels((state) => state.loadingId !== null);
  const progress = useRun((state) => state.progress);
  if (loading) return 'A model is being loaded.';
  if (!model) return 'Load a model first.';
  if (busyState(progress) && progress?.state !== 'paused') {
    return 'A run is training. Pause it to talk to the model as it is now, or wait for its end.';
  }
  return null;
}

export function Conversation({ mode }: { mode: TalkMode }) {
  const { draft, writing, turns } = useChat();
  const hindrance = useHindrance();
  const field = useId();
  const sides = sidesOf(mode);
  const said = sides.some((side) => turns[threadOf(mode, side)].length > 0);
  const send = (event?: FormEvent) => {
    event?.preventDefault();
    if (!hindrance) void ask(mode);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <>
      <div className={mode === 'both' ? 'conversations two' : 'conversations'}>
        {sides.map((side) => (
          <Column key={side} side={side} mode={mode} />
        ))}
      </div>
      <form className="card composer" onSubmit={send}>
        <Offered disabled={writing !== null} />
        <label htmlFor={field} className="visually-hidden">
          Your message
        </label>
        <textarea
          id={field}
          rows={3}
          value={draft}
          placeholder="Write a message. Enter sends it, Shift + Enter breaks the line."
          onChange={(event) => setChat({ draft: event.target.value })}
          onKeyDown={onKey}
        />
        <div className="spread wrap">
          <p className="fine" role="status">
            {hindrance ?? (writing ? `Writing: ${formatCount(writing.tokens)} tokens` : '')}
          </p>
          <div className="actions">
            {said && (
              <Button look="quiet" disabled={writing !== null} onClick={() => forgetChat(mode)}>
                New conversation
              </Button>
            )}
            {writing ? (
              <Button icon="stop" onClick={() => void stopAnswer()}>
                Stop
              </Button>
            ) : (
              <Button look="primary" icon="arrow" type="submit" disabled={hindrance !== null || draft.trim() === ''}>
                {mode === 'both' ? 'Send to both' : 'Send'}
              </Button>
            )}
          </div>
        </div>
      </form>
    </>
  );
}
