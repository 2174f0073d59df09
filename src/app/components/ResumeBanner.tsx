/** Offers to go on with a run that ended without having been told to. */
import { useEffect } from 'react';
import { formatCount } from '../lib/format';
import { dismissCode } from '../store/alerts';
import { useModels } from '../store/models';
import { busyState, useRun } from '../store/run';
import { continueRun, cutOffRun, putAside, useRuns } from '../store/runs';
import { Button } from './ui';

export function ResumeBanner() {
  // What is offered here need not be offered above as well.
  useEffect(() => dismissCode('run-cut-off'), []);
  const run = useRuns(cutOffRun);
  const busy = useRun((state) => busyState(state.progress));
  const loading = useModels((state) => state.loadingId !== null);
  if (!run || busy) return null;
  const { id, name, step, totalSteps, error } = run.record;
  const why = error ? 'lost its GPU' : 'was cut off';
  return (
    <section className="banner resume" aria-label="A run that can go on">
      <div>
        <h2>
          “{name}” {why}
        </h2>
        <p>
          {step > 0
            ? `${formatCount(step)} of ${formatCount(totalSteps)} steps are kept. The steps after them are made again, to the same numbers.`
            : `It was cut off before its first checkpoint. Its ${formatCount(totalSteps)} steps are made again, to the same numbers.`}
        </p>
      </div>
      <div className="actions">
        <Button onClick={() => putAside(id)}>Not now</Button>
        <Button look="primary" icon="play" disabled={loading} onClick={() => void continueRun(run)}>
          {step > 0 ? `Continue from step ${formatCount(step)}` : 'Start it again'}
        </Button>
      </div>
    </section>
  );
}
