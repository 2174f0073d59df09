import { useState } from 'react';
import { CHARTS } from '../charts/definitions';
import { MetricChart } from '../charts/MetricChart';
import { ResumeBanner } from '../components/ResumeBanner';
import { RunControls } from '../components/RunControls';
import { RunProgressBar } from '../components/RunProgressBar';
import { RunSide } from '../components/RunSide';
import { SamplesCard } from '../components/SamplesCard';
import { Smoothing } from '../components/Smoothing';
import { StatTiles } from '../components/StatTiles';
import { Button } from '../components/ui';
import { ViewHead } from '../components/ViewHead';
import { recall, remember } from '../lib/memory';
import { metrics, useMetricsVersion } from '../store/metrics';
import { usePlan } from '../store/plan';
import { busyState, useRun } from '../store/run';
import { useSettings } from '../store/settings';
import { goTo } from '../store/ui';

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

/** Answers on the run's way, or how to get them. */
function RunAnswers() {
  useMetricsVersion();
  const started = useRun((state) => state.progress !== null);
  const wanted = usePlan((state) => state.plan?.samplePrompts.length ?? 0);
  const own = useRun((state) => state.facts?.settings.samples !== undefined);
  if (metrics.samples.length > 0) return <SamplesCard samples={metrics.samples} heading="Answers" />;
  const note = (started ? own : wanted > 0)
    ? 'Answers to the chosen prompts come here as the run goes.'
    : 'A few prompts can be answered as the run goes, so that you see what it learns.';
  return (
    <div className="card spread wrap">
      <p className="muted">{note}</p>
      {!started && (
        <Button className="small" icon="pen" onClick={() => goTo('settings')}>
          Choose prompts
        </Button>
      )}
    </div>
  );
}

export default function TrainStep() {
  const { progress, facts } = useRun();
  const planned = usePlan((state) => state.plan);
  const current = useSettings((state) => state.hparams);
  const version = useMetricsVersion();
  const [smoothing, setSmoothing] = useState(() => recall('smoothing', 0.8));
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
              version={version}
              smoothing={smoothing}
              beta={hparams.beta}
              maxGradNorm={hparams.max_grad_norm}
              totalSteps={totalSteps}
            />
          ))}
        </div>
        <RunAnswers />
      </div>
      <aside className="side" aria-label="This run">
        <RunSide />
      </aside>
    </div>
  );
}
