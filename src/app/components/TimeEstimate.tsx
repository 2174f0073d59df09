/** How long it will take: two steps made and timed on this GPU. */
import { formatDuration } from '../lib/format';
import { probeRun, useProbe } from '../store/probe';
import { busyState, useRun } from '../store/run';
import { Button } from './ui';

const seconds = (value: number): string => (value >= 10 ? `${value.toFixed(0)} s` : `${value.toPrecision(2)} s`);

export function TimeEstimate() {
  const { probing, result } = useProbe();
  const busy = useRun((state) => busyState(state.progress));
  return (
    <section className="time-estimate" aria-labelledby="time-title">
      <div className="spread">
        <h2 className="side-title" id="time-title">
          Time
        </h2>
        <Button look="quiet" className="small" disabled={busy || probing} onClick={() => void probeRun()}>
          {probing ? 'making two steps …' : result ? 'Measure again' : 'Measure with two steps'}
        </Button>
      </div>
      {result ? (
        <p>
          About <strong className="number">{formatDuration(result.totalSeconds)}</strong>,{' '}
          {seconds(result.secondsPerStep)} a step.{' '}
          <span className="fine">The first step took {seconds(result.firstSeconds)}, kernels compiled.</span>
        </p>
      ) : (
        <p className="fine">Two steps on this GPU tell how long the run will take. They are forgotten afterwards.</p>
      )}
    </section>
  );
}
