import { useEffect, useState } from 'react';
import type { PairsPage } from '../../worker/protocol';
import { formatCount } from '../lib/format';
import { fetchPairs, type Role, useData } from '../store/data';
import { Button } from './ui';

const PAGE = 4;
const ROLES: [Role, string][] = [
  ['train', 'Training'],
  ['eval', 'Held out'],
];

type Pair = PairsPage['pairs'][number];

function Text({ title, of, text, tone }: { title: string; of: number; text: string; tone?: 'chosen' | 'rejected' }) {
  return (
    <div className={`pair-text ${tone ?? ''}`}>
      <h4>{title}</h4>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard */}
      <section className="scroll" tabIndex={0} aria-label={`${title} of pair ${of}`}>
        {text === '' ? <span className="muted">(empty)</span> : text}
      </section>
    </div>
  );
}

function PairCard({ pair }: { pair: Pair }) {
  return (
    <article className="pair card" aria-label={`Pair ${pair.index + 1}`}>
      <h3 className="pair-number">Pair {formatCount(pair.index + 1)}</h3>
      <div className="pair-texts">
        <Text title="Prompt" of={pair.index + 1} text={pair.prompt} />
        <Text title="Chosen" of={pair.index + 1} text={pair.chosen} tone="chosen" />
        <Text title="Rejected" of={pair.index + 1} text={pair.rejected} tone="rejected" />
      </div>
    </article>
  );
}

/** The pairs as they are, a few at a time. */
export function PairsPreview() {
  const { trainPairs, evalPairs, version } = useData();
  const [wanted, setRole] = useState<Role>('train');
  const [offset, setOffset] = useState(0);
  const [page, setPage] = useState<PairsPage | null>(null);
  const role = wanted === 'eval' && evalPairs === 0 ? 'train' : wanted;
  const total = role === 'train' ? trainPairs : evalPairs;
  const start = offset < total ? offset : 0;

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new version means other rows behind the same numbers
  useEffect(() => {
    let current = true;
    if (total > 0) void fetchPairs(role, start, PAGE).then((answer) => current && setPage(answer));
    return () => {
      current = false;
    };
  }, [role, start, total, version]);

  const choose = (next: Role) => {
    setRole(next);
    setOffset(0);
    setPage(null);
  };

  return (
    <section aria-labelledby="preview-title">
      <div className="spread wrap">
        <h2 id="preview-title" className="section-title">
          Preview
        </h2>
        <fieldset className="segments">
          <legend className="visually-hidden">Which pairs to show</legend>
          {ROLES.map(([id, label]) => (
            <button
              key={id}
              type="button"
              aria-pressed={role === id}
              disabled={id === 'eval' && evalPairs === 0}
              onClick={() => choose(id)}
            >
              {label} {formatCount(id === 'train' ? trainPairs : evalPairs)}
            </button>
          ))}
        </fieldset>
        <div className="actions">
          <span className="fine number" aria-live="polite">
            {total === 0
              ? 'no pairs'
              : `${formatCount(start + 1)}–${formatCount(Math.min(total, start + PAGE))} of ${formatCount(total)}`}
          </span>
          <Button icon="previous" disabled={start === 0} onClick={() => setOffset(Math.max(0, start - PAGE))}>
            Previous
          </Button>
          <Button
            icon="next"
            className="icon-end"
            disabled={start + PAGE >= total}
            onClick={() => setOffset(start + PAGE)}
          >
            Next
          </Button>
        </div>
      </div>
      <div className="pairs">
        {page?.pairs.map((pair) => (
          <PairCard key={`${role}${pair.index}`} pair={pair} />
        ))}
      </div>
    </section>
  );
}
