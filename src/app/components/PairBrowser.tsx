import { useEffect, useRef, useState } from 'react';
import type { PairFilter, Role } from '../../worker/protocol';
import { formatCount, plural } from '../lib/format';
import { useData } from '../store/data';
import { useInspect } from '../store/inspect';
import { narrow, search, select, showRole, usePairs } from '../store/pairs';
import { FINDINGS } from './ChecksCard';
import { PairPanel } from './PairPanel';
import { PairTable, usePairPages } from './PairTable';
import { Segments } from './Segments';
import { Button } from './ui';

const ROLES: [Role, string][] = [
  ['train', 'Training'],
  ['eval', 'Held out'],
];
const SEARCH_MS = 200;

function useFilters(): PairFilter[] {
  const { check, measure } = useInspect();
  const found: PairFilter[] = [];
  for (const finding of [...(check?.warnings ?? []), ...(check?.duplicates ?? [])]) {
    if (finding.train + finding.eval > 0) found.push(finding.kind);
  }
  const counts = [measure?.train.counts, measure?.eval?.counts];
  for (const fate of ['cut', 'dropped'] as const) if (counts.some((c) => c && c[fate] > 0)) found.push(fate);
  return found;
}

function Search() {
  const query = usePairs((state) => state.query);
  const [draft, setDraft] = useState<string | null>(null);
  useEffect(() => {
    if (draft === null) return;
    const timer = setTimeout(() => {
      search(draft);
      setDraft(null);
    }, SEARCH_MS);
    return () => clearTimeout(timer);
  }, [draft]);
  return (
    <input
      type="search"
      className="search"
      aria-label="Search the pairs"
      placeholder="Search prompts and answers"
      dir="auto"
      value={draft ?? query}
      onChange={(event) => setDraft(event.target.value)}
    />
  );
}

/** All pairs: a list to search and narrow, and the one that is chosen, whole and as tokens. */
export function PairBrowser() {
  const { trainPairs, evalPairs, version } = useData();
  const { role: wanted, query, filter, selected, shown } = usePairs();
  const inspected = useInspect((state) => state.version);
  const role = wanted === 'eval' && evalPairs === 0 ? 'train' : wanted;
  const filters = useFilters();
  const pages = usePairPages(role, query, filter, `${version} ${filter ? inspected : ''}`);
  const section = useRef<HTMLElement>(null);
  useEffect(() => {
    if (shown === 0) return;
    section.current?.scrollIntoView({ block: 'start' });
    section.current?.querySelector<HTMLElement>('[role="listbox"]')?.focus({ preventScroll: true });
  }, [shown]);
  const { total } = pages;
  const place = total === null ? selected : Math.min(selected, Math.max(0, total - 1));
  const pair = pages.at(place);
  const { want } = pages;
  useEffect(() => {
    // The chosen pair may lie far from the lines in sight, as after the list has changed.
    want(place, place + 1);
  });
  return (
    <section ref={section} aria-labelledby="pairs-title" className="browser">
      <div className="spread wrap">
        <h2 id="pairs-title" className="section-title">
          Pairs
        </h2>
        <Segments
          legend="Which pairs to show"
          options={ROLES}
          value={role}
          closed={(id) => (id === 'eval' && evalPairs === 0 ? 'No pairs are held out' : undefined)}
          show={(id, label) => `${label} ${formatCount(id === 'train' ? trainPairs : evalPairs)}`}
          onChange={showRole}
        />
        <select
          className="filter"
          aria-label="Show only"
          value={filter ?? ''}
          onChange={(event) => narrow((event.target.value || null) as PairFilter | null)}
        >
          <option value="">All pairs</option>
          {[...new Set([...filters, ...(filter ? [filter] : [])])].map((kind) => (
            <option key={kind} value={kind}>
              {FINDINGS[kind]}
            </option>
          ))}
        </select>
        <Search />
        <span className="fine number" role="status">
          {total === null ? 'looking …' : total === 0 ? 'no pairs' : plural(total, 'pair')}
        </span>
        {(query !== '' || filter) && (
          <Button
            look="quiet"
            className="small"
            onClick={() => {
              search('');
              narrow(null);
            }}
          >
            Show all
          </Button>
        )}
      </div>
      <div className="browser-columns">
        <PairTable pages={pages} selected={place} onSelect={select} />
        {pair ? (
          <PairPanel role={role} index={pair.index} version={version} />
        ) : (
          <div className="card muted">{total === 0 ? 'No pair matches.' : ''}</div>
        )}
      </div>
    </section>
  );
}
