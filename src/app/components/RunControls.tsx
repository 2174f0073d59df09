import { checkHParams } from '../settings/validate';
import { titleOf, useData } from '../store/data';
import { useInspect } from '../store/inspect';
import { useModels } from '../store/models';
import { usePlan } from '../store/plan';
import { busyState, hasAdapter, startRun, stopRun, useRun } from '../store/run';
import { runSettings, useSettings } from '../store/settings';
import { goTo } from '../store/ui';
import { Button } from './ui';

/** Start, stop, and where to go when it is over. */
export function RunControls() {
  const run = useRun();
  const { model, dataOffers } = useModels();
  const { train, reading } = useData();
  const { plan, planning } = usePlan();
  const { hparams, invalid } = useSettings();
  const loading = useModels((state) => state.loadingId !== null);

  if (busyState(run.progress)) {
    const stopping = run.progress?.state === 'stopping';
    return (
      <Button icon="stop" disabled={stopping} onClick={() => void stopRun()}>
        {stopping ? 'Stopping …' : 'Stop and keep'}
      </Button>
    );
  }
  const broken = Object.keys({ ...checkHParams(hparams), ...invalid }).length > 0;
  const ready = model && train && plan && !planning && !broken && !loading && !reading && plan.blockers.length === 0;
  const start = () => {
    if (!model || !train || !plan) return;
    const format = useInspect.getState().check?.format;
    const settings = structuredClone(runSettings());
    void startRun({ modelTitle: model.title, dataName: titleOf(train.name, dataOffers), settings, plan, format });
  };
  return (
    <>
      <Button look={hasAdapter(run) ? 'plain' : 'primary'} icon="play" disabled={!ready} onClick={start}>
        {run.progress ? 'Start again' : 'Start training'}
      </Button>
      {hasAdapter(run) && (
        <Button look="primary" icon="arrow" onClick={() => goTo('export')}>
          Continue to export
        </Button>
      )}
    </>
  );
}
