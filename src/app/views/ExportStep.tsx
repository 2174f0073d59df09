import { ExportCard } from '../components/ExportCard';
import { GgufChoices, MergedChoices } from '../components/ExportChoices';
import { LoadSnippets } from '../components/LoadSnippets';
import { Button, Empty } from '../components/ui';
import { ViewHead } from '../components/ViewHead';
import { plural } from '../lib/format';
import { useMetricsVersion } from '../store/metrics';
import { busyState, hasAdapter, useRun } from '../store/run';
import { goTo } from '../store/ui';

export function ExportStep() {
  const run = useRun();
  useMetricsVersion();
  const ready = hasAdapter(run);
  const busy = busyState(run.progress);
  return (
    <div className="view">
      <div className="view-main">
        <ViewHead
          title="Export"
          note={
            ready
              ? `${run.facts?.modelTitle ?? 'The model'}, tuned for ${plural(run.progress?.step ?? 0, 'step')} on ${run.facts?.dataName ?? 'your pairs'}.`
              : undefined
          }
        />
        {ready ? (
          <>
            <ul className="cards exports">
              <li>
                <ExportCard kind="merged">
                  <MergedChoices />
                </ExportCard>
              </li>
              <li>
                <ExportCard kind="gguf">
                  <GgufChoices />
                </ExportCard>
              </li>
              <li>
                <ExportCard kind="adapter" />
              </li>
              <li>
                <ExportCard kind="log-jsonl" />
              </li>
            </ul>
            <LoadSnippets />
          </>
        ) : (
          <Empty
            title={busy ? 'The run is not over yet' : 'Nothing to export yet'}
            action={
              <Button look="primary" icon="arrow" onClick={() => goTo('train')}>
                Go to training
              </Button>
            }
          >
            {busy
              ? 'Stop it, or wait for its end: either way the adapter is kept and can be written out here.'
              : 'After a run this page writes the merged model, a GGUF file, the adapter alone, and the log of every step. A run that was stopped half-way counts as well.'}
          </Empty>
        )}
      </div>
    </div>
  );
}
