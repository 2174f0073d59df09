/** One chart: header with the latest values, the plot, and the same in words. */
import { memo, type RefCallback, useMemo } from 'react';
import { useSize } from '../lib/useSize';
import { useTurn } from '../lib/useTurn';
import { useVisible } from '../lib/useVisible';
import type { ChartDefinition } from './definitions';
import { Plot } from './Plot';
import { type ChartData, useChartData } from './useChartData';

/** All that a drawing follows from, beside the metrics themselves. */
interface Asked {
  definition: ChartDefinition;
  /** Says when the metrics have grown. */
  version: number;
  smoothing: number;
  beta: number;
  maxGradNorm: number;
  totalSteps: number;
  width: number;
  height: number;
  visible: boolean;
}

function inWords({ title, about, series, format }: ChartDefinition, data: ChartData, totalSteps: number): string {
  if (data.lastStep === 0) return `${title}: no values yet. ${about}`;
  const values = data.latest.map(({ now, start, held }, s) => {
    const heldOut = Number.isFinite(held) ? `, held out ${format(held)}` : '';
    return `${series[s].label} ${format(now)}, at the start ${format(start)}${heldOut}`;
  });
  return `${title} at step ${data.lastStep} of ${Math.max(totalSteps, data.lastStep)}: ${values.join('; ')}. ${about}`;
}

const Drawing = memo(function Drawing({ asked, box }: { asked: Asked; box: RefCallback<HTMLElement> }) {
  const { definition, version, smoothing, beta, maxGradNorm, totalSteps, width, height, visible } = asked;
  const { series, format, title } = definition;
  const guide = definition.guide?.at({ max_grad_norm: maxGradNorm }) ?? null;
  const data = useChartData(definition, version, smoothing, beta, guide, width);
  const empty = data.lastStep === 0;
  return (
    <>
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
      <div className="chart-box" ref={box} data-points={data.rows.length}>
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
    </>
  );
});

export const MetricChart = memo(function MetricChart(props: Omit<Asked, 'width' | 'height' | 'visible'>) {
  const { definition, version, smoothing, beta, maxGradNorm, totalSteps } = props;
  const [box, { width, height }] = useSize();
  const [figure, visible] = useVisible();
  const asked = useMemo(
    () => ({ definition, version, smoothing, beta, maxGradNorm, totalSteps, width, height, visible }),
    [definition, version, smoothing, beta, maxGradNorm, totalSteps, width, height, visible],
  );
  const shown = useTurn(asked);
  return (
    <figure className="card chart" ref={figure} aria-label={definition.title} data-chart={definition.id}>
      {shown ? (
        <Drawing asked={shown} box={box} />
      ) : (
        <>
          <figcaption className="chart-head">
            <h3>{definition.title}</h3>
          </figcaption>
          <div className="chart-box" ref={box} />
        </>
      )}
    </figure>
  );
});
