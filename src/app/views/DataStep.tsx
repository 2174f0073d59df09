import { DataSources } from '../components/DataSources';
import { DataSummaryCard } from '../components/DataSummaryCard';
import { HoldOut } from '../components/HoldOut';
import { PairsPreview } from '../components/PairsPreview';
import { Button, Empty } from '../components/ui';
import { ViewHead } from '../components/ViewHead';
import { formatCount, plural } from '../lib/format';
import { useData } from '../store/data';
import { goTo } from '../store/ui';

export function DataStep() {
  const { train, eval: held, trainPairs, evalPairs, evalFile } = useData();
  return (
    <div className="view">
      <div className="view-main">
        <ViewHead title="Data" note="Pairs of answers: one to prefer, one to avoid." />
        <DataSources />
        {train ? (
          <>
            <div className="two-columns">
              <DataSummaryCard part="train" summary={train} title="Training file" />
              {held && evalFile ? <DataSummaryCard part="eval" summary={held} title="Held-out file" /> : <HoldOut />}
            </div>
            <PairsPreview />
            <div className="next-bar">
              <p>
                <strong>{plural(trainPairs, 'pair')}</strong> to train on
                {evalPairs > 0 ? (
                  <>
                    , <strong>{formatCount(evalPairs)}</strong> held out to measure
                  </>
                ) : (
                  ', none held out'
                )}
                .
              </p>
              <Button look="primary" icon="arrow" onClick={() => goTo('settings')}>
                Continue to settings
              </Button>
            </div>
          </>
        ) : (
          <Empty title="What a pair looks like">
            One JSON object per line, for example{' '}
            <code>{'{"prompt": "…", "chosen": "the better answer", "rejected": "the worse one"}'}</code>. Training
            raises the odds of chosen over rejected. A few hundred pairs that all show the same preference are a good
            start; nothing of the file leaves this machine.
          </Empty>
        )}
      </div>
    </div>
  );
}
