/** One chart: header with the latest values, the plot, and the same in words. */
import { memo } from 'react';
import { useSize } from '../lib/useSize';
import { useVisible } from '../lib/useVisible';
import type { ChartDefinition } from './definitions';
import { Plot } from './Plot';
import { type ChartData, useChartData } from './useChartData';

interface Props {
  definition: ChartDefinition;
  version: number;
  smoothing: number;
  beta: number;
  maxGradNorm: number;
  totalSteps: number;
}

function inWords({ title, about, series, format }: ChartDefinition, data: ChartData, totalSteps: number): string {
  if (data.lastStep === 0) return `${title}: no values yet. ${about}`;
  const values = data.latest.map(({ now, start, held }, s) => {
    const heldOut = Number.isFinite(held) ? `, held out ${format(held)}` : '';
    return `${series[s].label} ${format(now)}, at the start ${format(start)}${heldOut}`;
  });
  return `${title} at step ${data.lastStep} of ${Math.max(totalSteps, data.lastStep)}: ${values.join('; ')}. ${about}`;
}

export const MetricChart = memo(function MetricChart(props: Props) {
  const { definition, version, smoothing, beta, maxGradNorm, totalSteps } = props;
  const { series, format, title } = definition;
  const [box, { width, height }] = useSize();
  const [figure, visible] = useVisible();
  const guide = definition.guide?.at({ max_grad_norm: maxGradNorm }) ?? null;
  const data = useChartData(definition, version, smoothing, beta, guide, width);
  const empty = data.lastStep === 0;

  return (
    <figure
      className="card chart"
      ref={figure}
      aria-label={title}
      data-chart={definition.id}
      data-points={data.rows.length}
    >
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
        <p className="visually-hidden">{inWords(definition, data, totalSteps)}</p>
      </figcaption>
      <div className="chart-box" ref={box}>
        {width > 40 && (
          <Plot
            definition={definition}
            data={data}
            guide={guide}
            showRaw={definition.smoothed && smoothing > 0}
            totalSteps={totalSteps}
            width={width}
            height={height}
            visible={visible}
          />
        )}
        {empty && <p className="chart-empty">{definition.about}</p>}
      </div>
    </figure>
  );
});
