/**
 * Charts take turns: each is drawn in a task of its own, so that the page answers in between however many there are.
 */
import { useEffect, useRef, useState } from 'react';
import { flushSync } from 'react-dom';

type Turn = () => void;

/** In the order in which they asked first; asking again keeps the place, so that none waits for ever. */
const waiting = new Map<object, Turn>();
let called = false;

function callNext(): void {
  const [next] = waiting;
  if (!next) {
    called = false;
    return;
  }
  const [who, turn] = next;
  waiting.delete(who);
  setTimeout(callNext);
  // At once: React would gather what several turns change into one task again.
  flushSync(turn);
}

function ask(who: object, turn: Turn): void {
  waiting.set(who, turn);
  if (called) return;
  called = true;
  setTimeout(callNext);
}

/** The latest `value` whose turn has come; null before the first. Values are told apart by identity. */
export function useTurn<T>(value: T): T | null {
  const [shown, setShown] = useState<{ value: T } | null>(null);
  const who = useRef({});
  useEffect(() => ask(who.current, () => setShown({ value })), [value]);
  useEffect(() => {
    const { current } = who;
    return () => void waiting.delete(current);
  }, []);
  return shown?.value ?? null;
}
