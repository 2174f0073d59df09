/**
 * The curves of one chart, drawn as plain paths in recharts' coordinates. recharts' own Line keeps an object and a
 * label entry per point and series, which at several updates a second is most of a frame.
 */
import { useId } from 'react';
import { useActiveTooltipDataPoints, useIsTooltipActive, usePlotArea, useXAxisScale, useYAxisScale } from 'recharts';
import type { ChartRow } from '../lib/series';
import type { Series } from './definitions';
import type { EvalDot } from './useChartData';

type Scale = (value: number) => number | undefined;
type Key = `raw${number}` | `line${number}`;

export const colorOf = (series: Series): string => `var(--series-${series.color})`;

/** An SVG path through the rows that have a value; a gap where one has none. */
function pathOf(rows: readonly ChartRow[], key: Key, x: Scale, y: Scale): string {
  let path = '';
  let pen = 'M';
  for (const row of rows) {
    const value = row[key];
    const px = x(row.step);
    const py = value == null ? undefined : y(value);
    if (px === undefined || py === undefined) {
      pen = 'M';
      continue;
    }
    path += `${pen}${px.toFixed(1)},${py.toFixed(1)}`;
    pen = 'L';
  }
  return path;
}

interface Props {
  rows: readonly ChartRow[];
  series: readonly Series[];
  dots: readonly EvalDot[][];
  showRaw: boolean;
}

export function Curves({ rows, series, dots, showRaw }: Props) {
  const clip = useId();
  const x = useXAxisScale() as Scale | undefined;
  const y = useYAxisScale() as Scale | undefined;
  const area = usePlotArea();
  const active = useIsTooltipActive();
  const points = useActiveTooltipDataPoints<ChartRow>();
  if (!x || !y || !area) return null;
  const at = (step: number, value: number) => ({ cx: x(step), cy: y(value) });
  const few = rows.length < 3 ? rows : [];
  const marked = active && points?.[0] ? [...few, points[0]] : few;
  return (
    <g>
      <clipPath id={clip}>
        <rect x={area.x} y={area.y - 2} width={area.width + 2} height={area.height + 4} />
      </clipPath>
      <g clipPath={`url(#${clip})`} fill="none" strokeLinejoin="round">
        {showRaw &&
          series.map((one, s) => (
            <path
              key={one.label}
              className="curve raw"
              d={pathOf(rows, `raw${s}`, x, y)}
              stroke={colorOf(one)}
              strokeOpacity={0.22}
            />
          ))}
        {series.map((one, s) => (
          <path
            key={one.label}
            className="curve"
            data-series={one.label}
            d={pathOf(rows, `line${s}`, x, y)}
            stroke={colorOf(one)}
            strokeWidth={1.8}
          />
        ))}
      </g>
      {series.map((one, s) => (
        <g key={one.label}>
          {marked.map((row, i) => {
            const value = row[`line${s}`];
            // biome-ignore lint/suspicious/noArrayIndexKey: the marked row may be one of the few
            return value == null ? null : <circle key={i} {...at(row.step, value)} r={2.8} fill={colorOf(one)} />;
          })}
          {dots[s].map(({ step, value }) => (
            <circle
              key={step}
              className="eval-dot"
              data-series={one.label}
              {...at(step, value)}
              r={3.6}
              fill="var(--panel)"
              stroke={colorOf(one)}
              strokeWidth={1.8}
            />
          ))}
        </g>
      ))}
    </g>
  );
}
