/** How the run's pairs stand: their reward margins as a histogram, and those that it prefers least. */
import { useMemo, useState } from 'react';
import { formatChange, formatCount, formatPercent, plural } from '../lib/format';
import { histogram } from '../lib/histogram';
import { margins, useMarginsVersion } from '../store/margins';
import type { RunPairText } from '../store/run-pairs';
import { fetchRunPair } from '../store/run-pairs';

const WORST = 8;
const [WIDTH, HEIGHT] = [300, 96];

function Bars({ values }: { values: readonly number[] }) {
  const { edges, counts } = histogram(values);
  const most = Math.max(1, ...counts);
  const bar = WIDTH / Math.max(1, counts.length);
  const zero = edges.findIndex((edge) => Math.abs(edge) < 1e-12);
  const above = values.filter((value) => value > 0).length;
  return (
    <>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        className="margin-bars"
        role="img"
        aria-label={`Reward margins of ${plural(values.length, 'pair')}, from ${formatChange(edges[0])} to ${formatChange(edges.at(-1)!)}; ${formatPercent(above / values.length)} are above zero.`}
      >
        {counts.map((count, i) => (
          <rect
            key={edges[i]}
            className={edges[i] < -1e-12 ? 'below' : 'above'}
            x={i * bar + 0.5}
            width={Math.max(0.5, bar - 1)}
            y={HEIGHT - (count / most) * HEIGHT}
            height={(count / most) * HEIGHT}
          />
        ))}
        {zero >= 0 && <line x1={zero * bar} x2={zero * bar} y1={0} y2={HEIGHT} className="margin-zero" />}
      </svg>
      <p className="margin-axis fine number" aria-hidden="true">
        <span>{formatChange(edges[0])}</span>
        <span>{formatPercent(above / values.length)} above 0</span>
        <span>{formatChange(edges.at(-1)!)}</span>
      </p>
    </>
  );
}

function WorstPair({ row, margin, step }: { row: number; margin: number; step: number }) {
  const [text, setText] = useState<RunPairText | null>(null);
  return (
    <li>
      <details onToggle={(event) => event.currentTarget.open && !text && void fetchRunPair(row).then(setText)}>
        <summary>
          Pair {formatCount(row + 1)} <span className="number">{formatChange(margin)}</span>{' '}
          <span className="fine">at step {formatCount(step)}</span>
        </summary>
        {text && (
          <dl className="worst-text">
            <dt>Prompt</dt>
            <dd>{text.prompt}</dd>
            <dt>Chosen</dt>
            <dd>{text.chosen}</dd>
            <dt>Rejected</dt>
            <dd>{text.rejected}</dd>
          </dl>
        )}
      </details>
    </li>
  );
}

export function MarginCard() {
  const version = useMarginsVersion();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the map is changed in place; version stands for it
  const pairs = useMemo(() => [...margins].map(([row, of]) => ({ row, ...of })), [version]);
  if (pairs.length === 0) return null;
  const worst = pairs.toSorted((a, b) => a.margin - b.margin).slice(0, WORST);
  return (
    <section aria-labelledby="margins-title">
      <h2 className="side-title" id="margins-title">
        Margins of {plural(pairs.length, 'pair')}
      </h2>
      <Bars values={pairs.map(({ margin }) => margin)} />
      <details className="worst">
        <summary>The pairs it prefers least</summary>
        <ol>
          {worst.map((pair) => (
            <WorstPair key={`${pair.row} ${pair.step}`} {...pair} />
          ))}
        </ol>
      </details>
    </section>
  );
}
