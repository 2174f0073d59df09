/** The drawn part of a chart: recharts' axes, grid, tooltip and keyboard, and our curves. */
import { memo, useMemo } from 'react';
import { CartesianGrid, ComposedChart, Line, ReferenceLine, Tooltip, XAxis, YAxis } from 'recharts';
import { axisFormat, stepTicks, thinned } from '../lib/series';
import { ChartTooltip } from './ChartTooltip';
import { Curves } from './Curves';
import type { ChartDefinition } from './definitions';
import type { ChartData } from './useChartData';

interface Props {
  definition: ChartDefinition;
  data: ChartData;
  guide: number | null;
  showRaw: boolean;
  totalSteps: number;
  width: number;
  height: number;
  visible: boolean;
}

// Props that never change keep their identity, so that recharts has nothing to take in anew.
const MARGIN = { top: 6, right: 10, bottom: 0, left: 0 };
const TICK = { fill: 'var(--muted)', fontSize: 11 };
const CURSOR = { stroke: 'var(--muted)', strokeOpacity: 0.5 };
const noText = () => '';
const nothing = () => <g />;
/** recharts makes objects of every row at every change; steps that lie closer than this many are one to a pointer. */
const MOST_READ = 160;

function DrawnPlot({ definition, data, guide, showRaw, totalSteps, width, height }: Props) {
  const { series, title } = definition;
  const { rows, dots } = data;
  const empty = data.lastStep === 0;
  const last = Math.max(totalSteps, data.lastStep, 2);
  const [low, high] = data.domain;

  const xDomain = useMemo(() => [1, last], [last]);
  const xTicks = useMemo(() => stepTicks(last, Math.max(2, Math.floor(width / 75))), [last, width]);
  const yDomain = useMemo(() => [low, high], [low, high]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the ticks follow from the domain
  const yTicks = useMemo(() => data.ticks, [low, high]);
  const yFormat = useMemo(
    () => (empty ? noText : (definition.tick ?? axisFormat(yTicks))),
    [empty, definition, yTicks],
  );
  const read = useMemo(() => thinned(rows, MOST_READ), [rows]);
  const tooltip = useMemo(() => <ChartTooltip definition={definition} dots={dots} />, [definition, dots]);

  return (
    <ComposedChart
      width={width}
      height={height}
      data={read}
      margin={MARGIN}
      role="application"
      aria-label={`${title}: arrow keys read the values`}
    >
      <CartesianGrid vertical={false} stroke="var(--grid)" syncWithTicks />
      <XAxis
        dataKey="step"
        type="number"
        domain={xDomain}
        ticks={xTicks}
        tick={TICK}
        tickLine={false}
        axisLine={false}
        height={22}
        interval="preserveStartEnd"
      />
      <YAxis
        type="number"
        domain={yDomain}
        ticks={yTicks}
        tickCount={yTicks.length}
        tickFormatter={yFormat}
        allowDataOverflow
        tick={TICK}
        tickLine={false}
        axisLine={false}
        width={52}
      />
      {guide !== null && !empty && guide >= low && guide <= high && (
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
      {/* Not drawn: it gives the tooltip and the arrow keys their steps. */}
      <Line dataKey="line0" dot={false} activeDot={false} isAnimationActive={false} shape={nothing} />
      <Curves rows={rows} series={series} dots={dots} showRaw={showRaw} />
      <Tooltip isAnimationActive={false} cursor={CURSOR} content={tooltip} />
    </ComposedChart>
  );
}

/** Redrawn only while it can be seen; it catches up when it is scrolled to. */
export const Plot = memo(DrawnPlot, (_, next) => !next.visible);
