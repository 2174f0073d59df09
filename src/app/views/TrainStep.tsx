import { useDeferredValue, useState } from 'react';
import { CHARTS } from '../charts/definitions';
import { MetricChart } from '../charts/MetricChart';
import { ResumeBanner } from '../components/ResumeBanner';
import { RunControls } from '../components/RunControls';
import { RunProgressBar } from '../components/RunProgressBar';
import { RunSide } from '../components/RunSide';
import { Smoothing } from '../components/Smoothing';
import { StatTiles } from '../components/StatTiles';
import { ViewHead } from '../components/ViewHead';
import { recall, remember } from '../lib/memory';
import { useMetricsVersion } from '../store/metrics';
import { usePlan } from '../store/plan';
import { busyState, useRun } from '../store/run';
import { useSettings } from '../store/settings';

const TITLES = {
  idle: 'Training',
  preparing: 'Preparing',
  running: 'Training',
  pausing: 'Pausing',
  paused: 'Paused',
  stopping: 'Stopping',
  finished: 'Finished',
  stopped: 'Stopped',
  failed: 'Failed',
} as const;

export default function TrainStep() {
  const { progress, facts } = useRun();
  const planned = usePlan((state) => state.plan);
  const current = useSettings((state) => state.hparams);
  const version = useMetricsVersion();
  const shownVersion = useDeferredValue(version);
  const [smoothing, setSmoothing] = useState(() => recall('smoothing', 0.8));
  const shownSmoothing = useDeferredValue(smoothing);
  const hparams = facts?.settings.hparams ?? current;
  const totalSteps = progress?.totalSteps || planned?.totalSteps || 0;
  const perEpoch = (facts?.plan ?? planned)?.stepsPerEpoch;
  const epochs = perEpoch && totalSteps ? totalSteps / perEpoch : hparams.num_train_epochs;
  const note =
    progress && progress.step > 0
      ? `epoch ${progress.epoch.toFixed(2)} of ${Number(epochs.toFixed(2))}`
      : busyState(progress)
        ? 'The first step takes longest: kernels are compiled for this GPU.'
        : 'Every curve is live, and has the name it has in TRL.';

  return (
    <div className="view with-aside">
      <div className="view-main">
        <ViewHead title={TITLES[progress?.state ?? 'idle']} note={note}>
          <RunControls />
        </ViewHead>
        <ResumeBanner />
        <RunProgressBar />
        <StatTiles version={version} />
        <div className="charts-head">
          <h2 className="section-title">Curves</h2>
          <p className="fine legend-note">
            <span className="hollow" aria-hidden="true" /> held-out pairs
          </p>
          <Smoothing
            value={smoothing}
            onChange={(value) => {
              setSmoothing(value);
              remember('smoothing', value);
            }}
          />
        </div>
        <div className="charts">
          {CHARTS.map((definition) => (
            <MetricChart
              key={definition.id}
              definition={definition}
              version={shownVersion}
              smoothing={shownSmoothing}
              beta={hparams.beta}
              maxGradNorm={hparams.max_grad_norm}
              totalSteps={totalSteps}
            />
          ))}
        </div>
      </div>
      <aside className="side" aria-label="This run">
        <RunSide />
      </aside>
    </div>
  );
}
