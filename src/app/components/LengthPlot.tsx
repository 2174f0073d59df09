/** Pairs by their length in tokens, with the line of max_length. */
import { useId } from 'react';
import type { LengthHistogram } from '../../worker/protocol';
import { formatCount, plural } from '../lib/format';
import { niceTicks } from '../lib/series';
import { useSize } from '../lib/useSize';

const HEIGHT = 190;
const LEFT = 44;
const BOTTOM = 40;
const TOP = 20;
const RIGHT = 12;
const FATES = ['fits', 'cut', 'dropped'] as const;

export function LengthPlot({ histogram }: { histogram: LengthHistogram }) {
  const [ref, { width }] = useSize();
  const pattern = useId();
  const { bins, maxLength, longest, median, counts } = histogram;
  const total = counts.fits + counts.cut + counts.dropped;
  // The line is shown even where every pair is far below it, as long as it is not absurdly far.
  const reach = bins.at(-1)?.to ?? 1;
  const right = maxLength <= reach * 1.6 ? Math.max(reach, maxLength * 1.02) : reach;
  const most = Math.max(1, ...bins.map((bin) => bin.fits + bin.cut + bin.dropped));
  const innerWidth = Math.max(1, width - LEFT - RIGHT);
  const innerHeight = HEIGHT - TOP - BOTTOM;
  const x = (tokens: number) => LEFT + (tokens / right) * innerWidth;
  const y = (count: number) => TOP + innerHeight * (1 - count / most);
  const lineInside = maxLength <= right;
  const summary = `${plural(total, 'training pair')}: median ${formatCount(median)} tokens, longest ${formatCount(longest)}, limit ${formatCount(maxLength)}; ${formatCount(counts.cut)} cut, ${formatCount(counts.dropped)} left out.`;
  const lineX = Math.min(x(maxLength), width - RIGHT);
  const labelLeft = lineX > width - 130;
  return (
    <figure ref={ref} className="length-plot" aria-label="Lengths of the training pairs">
      {width > 0 && (
        <svg width={width} height={HEIGHT} role="img" aria-label={summary}>
          <defs>
            <pattern id={pattern} width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
              <rect width="6" height="6" className="bar-cut" />
              <path d="M0 0V6" className="bar-stripe" />
            </pattern>
          </defs>
          {niceTicks(0, most, 3)
            .filter(Number.isInteger)
            .map((tick) => (
              <g key={tick}>
                <path className="grid-line" d={`M${LEFT} ${y(tick)}H${width - RIGHT}`} />
                <text className="axis" x={LEFT - 6} y={y(tick) + 4} textAnchor="end">
                  {formatCount(tick)}
                </text>
              </g>
            ))}
          {bins.map((bin) => {
            let base = 0;
            const barWidth = Math.max(1, x(bin.to) - x(bin.from) - 1);
            return (
              <g key={bin.from}>
                <title>{`${formatCount(bin.from)} to ${formatCount(bin.to - 1)} tokens: ${formatCount(bin.fits)} fit, ${formatCount(bin.cut)} cut, ${formatCount(bin.dropped)} left out`}</title>
                {FATES.map((fate) => {
                  const count = bin[fate];
                  if (count === 0) return null;
                  const top = y(base + count);
                  const height = Math.max(1.5, y(base) - top);
                  base += count;
                  return (
                    <rect
                      key={fate}
                      className={`bar-${fate}`}
                      x={x(bin.from)}
                      y={y(base) + (y(base - count) - y(base) - height)}
                      width={barWidth}
                      height={height}
                      // Beyond colour: what is cut is hatched.
                      style={fate === 'cut' ? { fill: `url(#${pattern})` } : undefined}
                    />
                  );
                })}
              </g>
            );
          })}
          <path className="axis-line" d={`M${LEFT} ${TOP + innerHeight}H${width - RIGHT}`} />
          {niceTicks(0, right, Math.max(2, Math.floor(innerWidth / 90))).map((tick) => (
            <text key={tick} className="axis" x={x(tick)} y={HEIGHT - BOTTOM + 16} textAnchor="middle">
              {formatCount(tick)}
            </text>
          ))}
          <text className="axis" x={LEFT + innerWidth / 2} y={HEIGHT - 6} textAnchor="middle">
            tokens of the longer sequence
          </text>
          {lineInside && <path className="limit-line" d={`M${lineX} ${TOP - 6}V${TOP + innerHeight}`} />}
          <text
            className="limit-text"
            x={labelLeft ? lineX - 5 : lineX + 5}
            y={TOP - 6}
            textAnchor={labelLeft ? 'end' : 'start'}
          >
            max_length {formatCount(maxLength)}
            {lineInside ? '' : ' →'}
          </text>
        </svg>
      )}
      <figcaption className="fine number">{summary}</figcaption>
    </figure>
  );
}
