/** Every run that this browser keeps: side by side, and what can be done with each. */
import { useEffect, useMemo, useRef, useState } from 'react';
import { OverlayChart } from '../components/OverlayChart';
import { RunList } from '../components/RunList';
import { Smoothing } from '../components/Smoothing';
import { Button, Empty, FileButton } from '../components/ui';
import { ViewHead } from '../components/ViewHead';
import { formatBytes, plural } from '../lib/format';
import { OVERLAY_METRICS, type OverlayRun } from '../lib/overlay';
import { pngOf, svgText } from '../lib/picture';
import { saveBlob } from '../lib/save';
import { differences } from '../lib/settings-diff';
import { reportError } from '../store/alerts';
import { openRunFile, toggleShown, useShelf } from '../store/run-shelf';
import { refreshRuns, useRuns } from '../store/runs';
import { goTo } from '../store/ui';

function useShownRuns(): OverlayRun[] {
  const runs = useRuns((state) => state.runs);
  const { shown, curves } = useShelf();
  return useMemo(
    () =>
      shown.flatMap(({ id, color }) => {
        const run = runs?.find(({ record }) => record.id === id);
        const known = curves[id];
        return run && known ? [{ id, color, name: run.record.name, ...known }] : [];
      }),
    [runs, shown, curves],
  );
}

function Curves({ runs }: { runs: readonly OverlayRun[] }) {
  const [smoothing, setSmoothing] = useState(0.6);
  const charts = useRef<HTMLDivElement>(null);
  const drawings = () => [...(charts.current?.querySelectorAll<SVGSVGElement>('svg.overlay-svg') ?? [])];
  const saveSvg = () => saveBlob(new Blob([svgText(drawings()).text], { type: 'image/svg+xml' }), 'curves.svg');
  const savePng = () => pngOf(drawings()).then((blob) => saveBlob(blob, 'curves.png'), reportError);
  return (
    <section aria-labelledby="curves-title" className="stack">
      <div className="charts-head">
        <h2 className="section-title" id="curves-title">
          Curves
        </h2>
        <p className="fine legend-note">
          <span className="hollow" aria-hidden="true" /> held-out pairs
        </p>
        <Smoothing value={smoothing} onChange={setSmoothing} />
        <Button look="quiet" className="small" icon="download" onClick={saveSvg}>
          SVG
        </Button>
        <Button look="quiet" className="small" icon="download" onClick={() => void savePng()}>
          PNG
        </Button>
      </div>
      <div className="charts two" ref={charts}>
        {OVERLAY_METRICS.map((metric) => (
          <OverlayChart key={metric.id} metric={metric} runs={runs} smoothing={smoothing} />
        ))}
      </div>
    </section>
  );
}

/** What the drawn runs do not have in common. */
function Differences({ runs }: { runs: readonly OverlayRun[] }) {
  const all = useRuns((state) => state.runs);
  const records = runs.flatMap(({ id }) => all?.find(({ record }) => record.id === id)?.record ?? []);
  if (records.length < 2) return null;
  const rows = differences(records);
  return (
    <section className="card" aria-labelledby="differ-title">
      <h2 id="differ-title">What differs</h2>
      {rows.length === 0 ? (
        <p className="muted">These runs have the same model, pairs and settings.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
        <section className="scroll" tabIndex={0} aria-label="Settings that differ">
          <table className="differ-table">
            <thead>
              <tr>
                <th scope="col">Setting</th>
                {runs.map(({ id, name, color }) => (
                  <th scope="col" key={id}>
                    <span className={`swatch s-${color}`} aria-hidden="true" /> {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map(({ name, values }) => (
                <tr key={name}>
                  <th scope="row">
                    <code>{name}</code>
                  </th>
                  {values.map((value, i) => (
                    <td key={runs[i].id}>{value}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </section>
  );
}

export function RunsView() {
  const runs = useRuns((state) => state.runs);
  const shown = useShownRuns();
  useEffect(() => {
    void refreshRuns().then(() => {
      const [newest] = useRuns.getState().runs ?? [];
      if (newest && useShelf.getState().shown.length === 0) void toggleShown(newest.record.id);
    });
  }, []);
  const bytes = runs?.reduce((sum, run) => sum + run.bytes, 0) ?? 0;
  return (
    <div className="view">
      <div className="view-main">
        <ViewHead
          title="Runs"
          note={
            runs?.length
              ? `${plural(runs.length, 'run')} in this browser, ${formatBytes(bytes)}.`
              : 'What was trained here.'
          }
        >
          <FileButton
            label="Open run card or checkpoint"
            accept=".json,.safetensors"
            icon="upload"
            onFile={(file) => void openRunFile(file)}
          />
        </ViewHead>
        {runs === null ? (
          <p className="muted">Looking for runs …</p>
        ) : runs.length === 0 ? (
          <Empty
            title="No runs yet"
            action={
              <Button look="primary" icon="arrow" onClick={() => goTo('train')}>
                Go to training
              </Button>
            }
          >
            Every run is kept in this browser as it trains: its settings, curves, adapter and notes. From here runs are
            compared, continued, opened for export, and saved as files that other tools read. A run card or a checkpoint
            of another machine can be opened as well.
          </Empty>
        ) : (
          <>
            <RunList runs={runs} />
            {shown.length > 0 ? (
              <Curves runs={shown} />
            ) : (
              <p className="muted">Tick up to six runs to draw their curves over one another.</p>
            )}
            <Differences runs={shown} />
          </>
        )}
      </div>
    </div>
  );
}
