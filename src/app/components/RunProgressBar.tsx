import type { ReactNode } from 'react';
import { formatCount, formatDuration, formatRate } from '../lib/format';
import { canNotify, setNotify, useNotify } from '../store/awake';
import { useData } from '../store/data';
import { useModels } from '../store/models';
import { usePlan } from '../store/plan';
import { busyState, useRun } from '../store/run';
import { goTo } from '../store/ui';
import { PlanMessages } from './PlanPanel';
import { Button, Progress } from './ui';

/** What is still missing before a run can start; nothing when it can. */
function BeforeStart() {
  const model = useModels((state) => state.model);
  const train = useData((state) => state.train);
  const { plan, planning, problem } = usePlan();
  if (!model || !train) {
    const missing = !model && !train ? 'a model and data' : model ? 'data' : 'a model';
    return (
      <div className="banner">
        <p>Training needs {missing} first.</p>
        <div className="actions">
          {!model && <Button onClick={() => goTo('model')}>Choose a model</Button>}
          {!train && <Button onClick={() => goTo('data')}>Choose data</Button>}
        </div>
      </div>
    );
  }
  if (problem) return <PlanMessages blockers={[problem]} warnings={[]} />;
  // Warnings stand beside, in the plan; only what holds the run back is said here as well.
  if (plan && plan.blockers.length > 0) {
    return (
      <div className="with-link">
        <PlanMessages blockers={plan.blockers} warnings={[]} />
        <Button onClick={() => goTo('settings')}>Change settings</Button>
      </div>
    );
  }
  if (!plan && !planning) {
    return (
      <div className="banner">
        <p>Some settings have to be mended before the run can be planned.</p>
        <Button onClick={() => goTo('settings')}>Open settings</Button>
      </div>
    );
  }
  return null;
}

/** A wish to be told when it is over. */
function TellMe() {
  const wanted = useNotify((state) => state.wanted);
  const savedStep = useRun((state) => state.savedStep);
  return (
    <p className="run-tell fine">
      {savedStep !== null && <span>checkpoint of step {formatCount(savedStep)} stored</span>}
      <span>the screen stays awake while this page is in sight</span>
      {canNotify() && (
        <label className="tell-me">
          <input type="checkbox" checked={wanted} onChange={(event) => void setNotify(event.target.checked)} /> notify
          me at the end
        </label>
      )}
    </p>
  );
}

export function RunProgressBar() {
  const { progress, startedAt, endedAt } = useRun();
  const plan = usePlan((state) => state.plan);
  if (!progress) {
    return (
      <>
        <Progress value={0} label="Training progress" />
        <p className="run-line">
          {plan ? (
            <>
              <span>0 / {formatCount(plan.totalSteps)} steps</span>
              <span>{formatCount(plan.effectiveBatch)} pairs per step</span>
              <span>all on this machine</span>
            </>
          ) : (
            <span>not started</span>
          )}
        </p>
        <BeforeStart />
      </>
    );
  }
  const busy = busyState(progress);
  const share = progress.totalSteps > 0 ? progress.step / progress.totalSteps : 0;
  const unknown = progress.state === 'preparing';
  const items: (ReactNode | null)[] = [
    `${formatCount(progress.step)} / ${formatCount(progress.totalSteps)} steps`,
    progress.pairsPerSecond > 0 ? `${formatRate(progress.pairsPerSecond)} pairs/s` : null,
    progress.tokensPerSecond > 0 ? `${formatRate(progress.tokensPerSecond)} tokens/s` : null,
    busy && progress.secondsLeft !== null ? `${formatDuration(progress.secondsLeft)} left` : null,
    !busy && startedAt && endedAt ? `took ${formatDuration((endedAt - startedAt) / 1000)}` : null,
    busy ? progress.activity : null,
    progress.state === 'stopped' ? 'the adapter is kept' : null,
    progress.state === 'failed' && progress.step > 0 ? 'what was trained so far can be exported' : null,
    busy ? 'all on this machine' : null,
  ];
  return (
    <>
      <Progress value={unknown ? null : share} label="Training progress" />
      <p className="run-line number">
        {items.filter(Boolean).map((item) => (
          <span key={String(item)}>{item}</span>
        ))}
      </p>
      {busy ? <TellMe /> : <BeforeStart />}
    </>
  );
}
