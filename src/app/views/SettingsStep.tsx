import { Advanced } from '../components/Advanced';
import { PlanPanel } from '../components/PlanPanel';
import { Presets } from '../components/Presets';
import { SampleFields } from '../components/SampleFields';
import { SettingsFile } from '../components/SettingsFile';
import { StartFrom } from '../components/StartFrom';
import { Button } from '../components/ui';
import { ViewHead } from '../components/ViewHead';
import { WandbCard } from '../components/WandbCard';
import { busyState, useRun } from '../store/run';
import { goTo } from '../store/ui';

export function SettingsStep() {
  const running = useRun((state) => busyState(state.progress));
  return (
    <div className="view with-aside">
      <div className="view-main">
        <ViewHead title="Settings" note="Start from a preset; change what you like.">
          <SettingsFile />
        </ViewHead>
        {running && (
          <p className="banner slim">
            A run is under way with the settings it began with. Changes here are for the next one.
          </p>
        )}
        <Presets />
        <StartFrom disabled={running} />
        <SampleFields disabled={running} />
        <Advanced />
        <WandbCard />
        <div className="next-bar">
          <p>The plan beside this is what will run.</p>
          <Button look="primary" icon="arrow" onClick={() => goTo('train')}>
            Continue to training
          </Button>
        </div>
      </div>
      <aside className="side" aria-label="Plan of the run">
        <PlanPanel />
      </aside>
    </div>
  );
}
