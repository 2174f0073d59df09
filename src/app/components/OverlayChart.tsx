/** One metric of several runs, drawn by hand so that it can be saved as it stands. */
import { memo, useMemo } from 'react';
import { formatMetric, formatPercent } from '../lib/format';
import { type OverlayMetric, type OverlayRun, overlay } from '../lib/overlay';
import { axisFormat } from '../lib/series';
import { useSize } from '../lib/useSize';
import { useTurn } from '../lib/useTurn';

const HEIGHT = 220;
const LEFT = 54;
const RIGHT = 12;
const TOP = 30;
const BOTTOM = 24;

interface Asked {
  metric: OverlayMetric;
  runs: readonly OverlayRun[];
  smoothing: number;
  width: number;
}

const inWords = (metric: OverlayMetric, runs: readonly OverlayRun[]): string =>
  `${metric.title}: ${runs
    .map((run) => {
      const last = run.steps.at(-1);
      return `${run.name} ${last ? `${formatMetric(metric.of(last))} at step ${last.step}` : 'has no steps yet'}`;
    })
    .join('; ')}.`;

const Drawing = memo(function Drawing({ asked: { metric, runs, smoothing, width } }: { asked: Asked }) {
  const data = useMemo(() => overlay(runs, metric, smoothing), [runs, metric, smoothing]);
  const { x, y, lines } = data;
  const right = Math.max(LEFT + 1, width - RIGHT);
  const px = (step: number) => LEFT + ((step - 1) / Math.max(1, x.last - 1)) * (right - LEFT);
  const py = (value: number) => {
    const share = (value - y.low) / (y.high - y.low || 1);
    return HEIGHT - BOTTOM - Math.min(1.02, Math.max(-0.02, share)) * (HEIGHT - BOTTOM - TOP);
  };
  const format = metric.domain ? (value: number) => formatPercent(value) : axisFormat(y.ticks);
  return (
    <svg
      role="img"
      aria-label={inWords(metric, runs)}
      viewBox={`0 0 ${width} ${HEIGHT}`}
      width={width}
      height={HEIGHT}
      className="overlay-svg"
    >
      <text x={LEFT} y={18} className="overlay-title">
        {metric.title}
      </text>
      {y.ticks.map((tick) => (
        <g key={tick}>
          <line x1={LEFT} x2={right} y1={py(tick)} y2={py(tick)} className="overlay-grid" />
          <text x={LEFT - 8} y={py(tick) + 4} textAnchor="end" className="overlay-tick">
            {format(tick)}
          </text>
        </g>
      ))}
      {x.ticks.map((tick) => (
        <text key={tick} x={px(tick)} y={HEIGHT - 6} textAnchor="middle" className="overlay-tick">
          {tick}
        </text>
      ))}
      {lines.map(({ run, points, dots }) => (
        <g key={run.id} data-run={run.id}>
          <polyline
            points={points.map(({ step, value }) => `${px(step).toFixed(1)},${py(value).toFixed(1)}`).join(' ')}
            fill="none"
            stroke={`var(--series-${run.color})`}
            strokeWidth={1.8}
            strokeLinejoin="round"
          />
          {dots.map(({ step, value }) => (
            <circle
              key={step}
              cx={px(step)}
              cy={py(value)}
              r={3.4}
              fill="var(--panel)"
              stroke={`var(--series-${run.color})`}
              strokeWidth={1.8}
            />
          ))}
        </g>
      ))}
    </svg>
  );
});

export const OverlayChart = memo(function OverlayChart({ metric, runs, smoothing }: Omit<Asked, 'width'>) {
  const [box, { width }] = useSize();
  const asked = useMemo(() => ({ metric, runs, smoothing, width }), [metric, runs, smoothing, width]);
  const shown = useTurn(asked);
  return (
    <figure className="card chart overlay" ref={box} aria-label={metric.title} data-chart={metric.id}>
      {shown && shown.width > 60 && <Drawing asked={shown} />}
    </figure>
  );
});
