/** A list of any length of which only the lines in sight exist. */
import { type KeyboardEvent, useCallback, useEffect, useId, useReducer, useRef, useState } from 'react';
import type { PairExcerpt, PairFilter, Role } from '../../worker/protocol';
import { formatCount } from '../lib/format';
import { fetchPairs } from '../store/pairs';

const LINE = 58;
const PAGE = 50;
/** Lines kept ready above and below those in sight. */
const MARGIN = 6;
/** Browsers draw no taller elements than about this (Firefox: 17.8 million pixels). */
const TALLEST = 12_000_000;
/** Pages kept; older ones are fetched again when they are wanted. */
const KEPT_PAGES = 40;

export interface PairPages {
  /** Null until the first answer. */
  total: number | null;
  at(place: number): PairExcerpt | undefined;
  /** Asks for what is missing between two places. */
  want(from: number, to: number): void;
}

/** Pages of a list, fetched as they are wanted. A new `key` means other rows behind the same places. */
export function usePairPages(role: Role, query: string, filter: PairFilter | null, key: string): PairPages {
  const wish = JSON.stringify([role, query, filter, key]);
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  const store = useRef({ wish: '', total: null as number | null, pages: new Map<number, PairExcerpt[] | null>() });
  const current = store.current;
  const fetchPage = useCallback(
    async (page: number) => {
      const mine = store.current;
      if (mine.pages.has(page)) return;
      mine.pages.set(page, null);
      const answer = await fetchPairs(role, page * PAGE, PAGE, query, filter);
      if (store.current !== mine) return;
      if (!answer) {
        mine.pages.delete(page);
        return;
      }
      mine.total = answer.total;
      mine.pages.set(page, answer.pairs);
      for (const old of mine.pages.keys()) {
        if (mine.pages.size <= KEPT_PAGES) break;
        if (old !== 0 && mine.pages.get(old)) mine.pages.delete(old);
      }
      redraw();
    },
    [role, query, filter],
  );
  useEffect(() => {
    store.current = { wish, total: null, pages: new Map() };
    void fetchPage(0);
  }, [wish, fetchPage]);
  return {
    // Until the new list is there the old one stays in sight.
    total: current.total,
    at: (place) => current.pages.get(Math.floor(place / PAGE))?.[place % PAGE],
    want: (from, to) => {
      if (current.wish !== wish || current.total === null) return;
      for (let page = Math.floor(from / PAGE); page * PAGE < Math.min(to, current.total); page++) void fetchPage(page);
    },
  };
}

function Line({ pair, place, total, id, selected }: LineProps) {
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: the list box has the focus and names the active line
    <div
      id={id}
      role="option"
      aria-selected={selected}
      aria-setsize={total}
      aria-posinset={place + 1}
      className={selected ? 'pair-line selected' : 'pair-line'}
      data-place={place}
    >
      <span className="pair-line-number number">{pair ? formatCount(pair.index + 1) : '…'}</span>
      <span className="pair-line-texts">
        <bdi className="clip prompt">{pair ? pair.prompt.trim() || '(no prompt)' : ' '}</bdi>
        <span className="pair-line-answers">
          <bdi className="clip chosen">{pair?.chosen.trim() ?? ''}</bdi>
          <bdi className="clip rejected">{pair?.rejected.trim() ?? ''}</bdi>
        </span>
      </span>
    </div>
  );
}

interface LineProps {
  pair: PairExcerpt | undefined;
  place: number;
  total: number;
  id: string;
  selected: boolean;
}

export function PairTable({
  pages,
  selected,
  onSelect,
}: {
  pages: PairPages;
  selected: number;
  onSelect(place: number): void;
}) {
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const total = pages.total ?? 0;
  const natural = total * LINE;
  const height = Math.min(natural, TALLEST);
  // In lists too tall to draw, the scroll bar covers the list in larger strides.
  const stretch = height > view.height ? (natural - view.height) / (height - view.height) : 1;
  const top = view.top * stretch;
  const from = Math.max(0, Math.floor(top / LINE) - MARGIN);
  const to = Math.min(total, Math.ceil((top + view.height) / LINE) + MARGIN);
  const { want } = pages;
  useEffect(() => {
    want(from, to);
  });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setView((v) => ({ ...v, height: element.clientHeight })));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const go = (place: number) => {
    const next = Math.max(0, Math.min(total - 1, place));
    onSelect(next);
    const element = box.current;
    if (!element) return;
    const at = next * LINE;
    if (at < top) element.scrollTop = at / stretch;
    else if (at + LINE > top + view.height) element.scrollTop = (at + LINE - view.height) / stretch;
  };
  const page = Math.max(1, Math.floor(view.height / LINE) - 1);
  const steps: Record<string, number> = {
    ArrowDown: selected + 1,
    ArrowUp: selected - 1,
    PageDown: selected + page,
    PageUp: selected - page,
    Home: 0,
    End: total - 1,
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (!(event.key in steps)) return;
    event.preventDefault();
    go(steps[event.key]);
  };
  const places = Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
  const visible = selected >= from && selected < to;
  return (
    <div
      ref={box}
      role="listbox"
      aria-label="Pairs"
      aria-activedescendant={visible && total > 0 ? `${id}${selected}` : undefined}
      tabIndex={0}
      className="pair-list"
      onScroll={(event) => {
        const { scrollTop } = event.currentTarget;
        setView((v) => ({ ...v, top: scrollTop }));
      }}
      onKeyDown={onKeyDown}
      onClick={(event) => {
        const line = (event.target as Element).closest<HTMLElement>('[data-place]');
        if (line) onSelect(Number(line.dataset.place));
      }}
    >
      <div className="pair-list-inner" role="presentation" style={{ height }}>
        <div role="presentation" style={{ transform: `translateY(${from * LINE - top + view.top}px)` }}>
          {places.map((place) => (
            <Line
              key={place}
              id={`${id}${place}`}
              pair={pages.at(place)}
              place={place}
              total={total}
              selected={place === selected}
            />
          ))}
        </div>
      </div>
    </div>
  );
}
