import type { ChartRow } from '../lib/series';
import type { ChartDefinition } from './definitions';
import type { EvalDot } from './useChartData';

interface Props {
  definition: ChartDefinition;
  dots: EvalDot[][];
  /** Given by recharts. */
  active?: boolean;
  payload?: readonly { payload?: ChartRow }[];
}

/** Values at the step under the pointer or the arrow keys: smoothed, as measured, and held out where there are. */
export function ChartTooltip({ definition, dots, active, payload }: Props) {
  const row = payload?.[0]?.payload;
  if (!active || !row) return null;
  const { series, format } = definition;
  return (
    <div className="chart-tooltip">
      <strong>Step {row.step}</strong>
      {series.map(({ label, color }, s) => {
        const line = row[`line${s}`];
        const raw = row[`raw${s}`];
        const held = dots[s].find((dot) => dot.step === row.step);
        return (
          <div key={label}>
            <span className={`swatch s-${color}`} aria-hidden="true" />
            {label} <span className="number">{line == null ? '–' : format(line)}</span>
            {definition.smoothed && raw != null && raw !== line && (
              <span className="muted number"> (raw {format(raw)})</span>
            )}
            {held && <span className="number"> · held out {format(held.value)}</span>}
          </div>
        );
      })}
    </div>
  );
}
