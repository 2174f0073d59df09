/** One chart: header with the latest values, curves, held-out dots, and the same in words. */
import { memo } from 'react';
import { CartesianGrid, ComposedChart, Line, ReferenceLine, Scatter, Tooltip, XAxis, YAxis } from 'recharts';
import { axisFormat, stepTicks } from '../lib/series';
import { useSize } from '../lib/useSize';
import { ChartTooltip } from './ChartTooltip';
import type { ChartDefinition } from './definitions';
import { type ChartData, useChartData } from './useChartData';

interface Props {
  definition: ChartDefinition;
  version: number;
  smoothing: number;
  beta: number;
  maxGradNorm: number;
  totalSteps: number;
}

const colorOf = (color: number) => `var(--series-${color})`;

function inWords({ title, about, series, format }: ChartDefinition, data: ChartData, totalSteps: number): string {
  if (data.lastStep === 0) return `${title}: no values yet. ${about}`;
  const values = data.latest.map(({ now, start, held }, s) => {
    const heldOut = Number.isFinite(held) ? `, held out ${format(held)}` : '';
    return `${series[s].label} ${format(now)}, at the start ${format(start)}${heldOut}`;
  });
  return `${title} at step ${data.lastStep} of ${Math.max(totalSteps, data.lastStep)}: ${values.join('; ')}. ${about}`;
}

interface DotProps {
  cx?: number;
  cy?: number;
  color: string;
}
function HollowDot({ cx, cy, color }: DotProps) {
  return <circle className="eval-dot" cx={cx} cy={cy} r={3.6} fill="var(--panel)" stroke={color} strokeWidth={1.8} />;
}

export const MetricChart = memo(function MetricChart(props: Props) {
  const { definition, version, smoothing, beta, maxGradNorm, totalSteps } = props;
  const { series, format, title, smoothed } = definition;
  const guide = definition.guide?.at({ max_grad_norm: maxGradNorm }) ?? null;
  const data = useChartData(definition, version, smoothing, beta, guide);
  const [box, { width, height }] = useSize();
  const last = Math.max(totalSteps, data.lastStep, 2);
  const showRaw = smoothed && smoothing > 0 && data.rows.length > 2;
  const empty = data.lastStep === 0;
  const few = data.rows.length < 3;
  const [low, high] = data.domain;
  const guideShown = !empty && guide !== null && guide >= low && guide <= high;
  const summary = inWords(definition, data, totalSteps);

  return (
    <figure className="card chart" aria-label={title} data-chart={definition.id} data-points={data.rows.length}>
      <figcaption className="chart-head">
        <h3 title={definition.about}>{title}</h3>
        <ul className="legend">
          {series.map(({ label, color }, s) => (
            <li key={label}>
              <span className={`swatch s-${color}`} aria-hidden="true" />
              {label}{' '}
              <strong className="number">{Number.isNaN(data.latest[s].now) ? '–' : format(data.latest[s].now)}</strong>
            </li>
          ))}
        </ul>
        <p className="visually-hidden">{summary}</p>
      </figcaption>
      <div className="chart-box" ref={box}>
        {width > 40 && (
          <ComposedChart
            width={width}
            height={height}
            data={data.rows}
            margin={{ top: 6, right: 10, bottom: 0, left: 0 }}
            role="application"
            aria-label={`${title}: arrow keys read the values`}
          >
            <CartesianGrid vertical={false} stroke="var(--grid)" syncWithTicks />
            <XAxis
              dataKey="step"
              type="number"
              domain={[1, last]}
              ticks={stepTicks(last, Math.max(2, Math.floor(width / 75)))}
              tick={{ fill: 'var(--muted)', fontSize: 11 }}
              tickLine={false}
              axisLine={false}
              height={22}
              interval="preserveStartEnd"
            />
            <YAxis
              type="number"
              domain={data.domain}
              ticks={data.ticks}
              tickCount={data.ticks.length}
              tickFormatter={empty ? () => '' : (definition.tick ?? axisFormat(data.ticks))}
              allowDataOverflow
              tick={{ fill: 'var(--muted)', fontSize: 11 }}
              tickLine={false}
              axisLine={false}
              width={52}
            />
            {guideShown && (
              <ReferenceLine
                y={guide}
                stroke="var(--muted)"
                strokeDasharray="3 4"
                strokeOpacity={0.7}
                label={
                  definition.guide?.label
                    ? { value: definition.guide.label, position: 'insideTopRight', fill: 'var(--muted)', fontSize: 11 }
                    : undefined
                }
              />
            )}
            {showRaw &&
              series.map(({ label, color }, s) => (
                <Line
                  key={`raw ${label}`}
                  dataKey={`raw${s}`}
                  stroke={colorOf(color)}
                  strokeOpacity={0.22}
                  strokeWidth={1}
                  dot={false}
                  activeDot={false}
                  isAnimationActive={false}
                  tooltipType="none"
                />
              ))}
            {series.map(({ label, color }, s) => (
              <Line
                key={label}
                name={label}
                dataKey={`line${s}`}
                stroke={colorOf(color)}
                strokeWidth={1.8}
                dot={few ? { r: 2.5, fill: colorOf(color), strokeWidth: 0 } : false}
                activeDot={{ r: 3, fill: colorOf(color), strokeWidth: 0 }}
                isAnimationActive={false}
              />
            ))}
            {series.map(({ label, color }, s) =>
              data.dots[s].length > 0 ? (
                <Scatter
                  key={`held ${label}`}
                  name={`${label}, held out`}
                  data={data.dots[s]}
                  dataKey="value"
                  shape={<HollowDot color={colorOf(color)} />}
                  isAnimationActive={false}
                  tooltipType="none"
                />
              ) : null,
            )}
            <Tooltip
              isAnimationActive={false}
              cursor={{ stroke: 'var(--muted)', strokeOpacity: 0.5 }}
              content={<ChartTooltip definition={definition} dots={data.dots} />}
            />
          </ComposedChart>
        )}
        {empty && <p className="chart-empty">{definition.about}</p>}
      </div>
    </figure>
  );
});
