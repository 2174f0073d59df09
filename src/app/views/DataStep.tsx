import { ChecksCard } from '../components/ChecksCard';
import { ColumnMapping } from '../components/ColumnMapping';
import { DataSources } from '../components/DataSources';
import { DataSummaryCard } from '../components/DataSummaryCard';
import { HoldOut } from '../components/HoldOut';
import { LengthsCard } from '../components/LengthsCard';
import { PairBrowser } from '../components/PairBrowser';
import { PreviewCard } from '../components/PreviewCard';
import { PromptCard } from '../components/PromptCard';
import { Button, Empty } from '../components/ui';
import { ViewHead } from '../components/ViewHead';
import { formatCount, plural } from '../lib/format';
import { downloadPrepared, useData } from '../store/data';
import { busyState, useRun } from '../store/run';
import { goTo } from '../store/ui';

/** A file whose fields say nothing by their names: the visitor says which is which. */
function UnreadCard() {
  const unread = useData((state) => state.unread);
  const reading = useData((state) => state.reading !== null);
  const running = useRun((state) => busyState(state.progress));
  if (!unread || unread.fields.length === 0) return null;
  return (
    <section className="card warn-card" aria-label="Name the fields">
      <h2>Which fields of {unread.name} hold what?</h2>
      <ColumnMapping role={unread.role} fields={unread.fields} columns={null} disabled={reading || running} />
    </section>
  );
}

function NextBar() {
  const { trainPairs, evalPairs } = useData();
  return (
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
      <Button icon="download" onClick={() => void downloadPrepared('train')}>
        Download prepared rows
      </Button>
      {evalPairs > 0 && (
        <Button icon="download" onClick={() => void downloadPrepared('eval')}>
          Download held-out rows
        </Button>
      )}
      <Button look="primary" icon="arrow" onClick={() => goTo('settings')}>
        Continue to settings
      </Button>
    </div>
  );
}

export function DataStep() {
  const { train, eval: held, evalFile } = useData();
  return (
    <div className="view">
      <div className="view-main">
        <ViewHead title="Data" note="Pairs of answers: one to prefer, one to avoid." />
        <DataSources />
        <UnreadCard />
        <PreviewCard />
        {train ? (
          <>
            <div className="two-columns">
              <div className="stack">
                <DataSummaryCard part="train" summary={train} title="Training file" />
                {held && evalFile ? <DataSummaryCard part="eval" summary={held} title="Held-out file" /> : <HoldOut />}
              </div>
              <div className="stack">
                <PromptCard />
                <ChecksCard />
              </div>
            </div>
            <LengthsCard />
            <PairBrowser />
            <NextBar />
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
