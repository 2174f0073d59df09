import type { RunState } from '../../worker/protocol';
import { checkHParams } from '../settings/validate';
import { useAdapter } from '../store/adapter';
import { titleOf, useData } from '../store/data';
import { useInspect } from '../store/inspect';
import { useModels } from '../store/models';
import { usePlan } from '../store/plan';
import { busyState, hasAdapter, startRun, steerRun, stopRun, useRun } from '../store/run';
import { runSettings, useSettings } from '../store/settings';
import { goTo } from '../store/ui';
import { Button } from './ui';

/** Pause, single steps and stop of a run under way. */
function Steering({ state }: { state: RunState }) {
  const stopping = state === 'stopping';
  return (
    <>
      {state === 'paused' ? (
        <>
          <Button icon="step" onClick={() => void steerRun('singleStep')}>
            One step
          </Button>
          <Button look="primary" icon="play" onClick={() => void steerRun('resume')}>
            Resume
          </Button>
        </>
      ) : (
        <Button icon="pause" disabled={state !== 'running'} onClick={() => void steerRun('pause')}>
          {state === 'pausing' ? 'Pausing …' : 'Pause'}
        </Button>
      )}
      <Button icon="stop" disabled={stopping} onClick={() => void stopRun()}>
        {stopping ? 'Stopping …' : 'Stop and keep'}
      </Button>
    </>
  );
}

/** Start, stop, and where to go when it is over. */
export function RunControls() {
  const run = useRun();
  const { model, dataOffers } = useModels();
  const { train, reading } = useData();
  const { plan, planning } = usePlan();
  const { hparams, invalid } = useSettings();
  const loading = useModels((state) => state.loadingId !== null);

  if (busyState(run.progress)) return <Steering state={run.progress!.state} />;
  const broken = Object.keys({ ...checkHParams(hparams), ...invalid }).length > 0;
  const ready = model && train && plan && !planning && !broken && !loading && !reading && plan.blockers.length === 0;
  const start = () => {
    if (!model || !train || !plan) return;
    const format = useInspect.getState().check?.format;
    const { adapter } = useAdapter.getState();
    const settings = structuredClone({ ...runSettings(), ...(adapter && { startAdapter: adapter.sha256 }) });
    void startRun({ modelTitle: model.title, dataName: titleOf(train.name, dataOffers), settings, plan, format });
  };
  return (
    <>
      <Button look={hasAdapter(run) ? 'plain' : 'primary'} icon="play" disabled={!ready} onClick={start}>
        {run.progress ? 'Start again' : 'Start training'}
      </Button>
      {hasAdapter(run) && (
        <Button icon="chat" onClick={() => goTo('chat')}>
          Try it
        </Button>
      )}
      {hasAdapter(run) && (
        <Button look="primary" icon="arrow" onClick={() => goTo('export')}>
          Continue to export
        </Button>
      )}
    </>
  );
}
