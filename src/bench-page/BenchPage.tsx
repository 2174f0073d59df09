/** What this browser and GPU do in a second: the benchmark of the command line, on a page. */
import { Segments } from '../app/components/Segments';
import { Badge, Button, Progress } from '../app/components/ui';
import { saveText } from '../app/lib/save';
import type { Tier, TierChoice } from '../worker/protocol-device';
import { ResultCard } from './ResultCard';
import { SECTION_NAMES, SECTIONS_ABOUT, type SectionName } from './sections';
import { canRun, choose, startBench, stopBench, useBench } from './store';

const TIERS: [TierChoice, string][] = [
  ['auto', 'Auto'],
  ['f32', 'f32'],
  ['f16', 'f16'],
  ['subgroup-matrix', 'Matrix'],
];

function DeviceLine() {
  const { device, problem } = useBench();
  if (!device) return problem ? null : <p className="muted">Opening the GPU …</p>;
  return (
    <>
      <p className="bench-device">
        <strong>{device.adapter}</strong> <Badge tone={device.isSoftware ? 'warn' : 'good'}>{device.tier}</Badge>
      </p>
      {device.isSoftware && (
        <div className="card compact warn-card" role="note">
          <h2>This is not a real GPU</h2>
          <p>
            The browser gave an adapter that computes on the processor. What is measured here says nothing about a
            graphics card, and whatever would take hours is left out.
          </p>
        </div>
      )}
    </>
  );
}

function Choice({ name }: { name: SectionName }) {
  const { chosen, running, device } = useBench();
  const { title, about } = SECTIONS_ABOUT[name];
  const open = canRun(name, device);
  return (
    <label className="check bench-choice">
      <input
        type="checkbox"
        checked={open && chosen.includes(name)}
        disabled={running || !open}
        onChange={(event) => choose(name, event.target.checked)}
      />
      <span>
        <strong>{title}</strong> <span className="muted">{open ? about : 'Needs a real GPU.'}</span>
      </span>
    </label>
  );
}

export function BenchPage() {
  const { device, problem, quick, tier, running, chosen, results, report } = useBench();
  const missing = (option: TierChoice) => device?.tiers.find((entry) => entry.tier === (option as Tier))?.missing;
  const current = results.at(-1);
  const none = !chosen.some((name) => canRun(name, device));
  const save = () => saveText(`${JSON.stringify(report, null, 1)}\n`, 'orpo-studio-bench.json', 'application/json');
  return (
    <>
      <header className="top-bar">
        <p className="brand">
          <a href="./index.html">ORPO Studio</a>
        </p>
      </header>
      <main className="bench">
        <h1>Benchmark</h1>
        <p className="view-note">
          Measures this browser and GPU with the kernels that train. Nothing is sent anywhere. Close other tabs and
          programs that use the GPU first.
        </p>
        <DeviceLine />
        {problem && (
          <p className="warn-text" role="alert">
            {problem}
          </p>
        )}
        <section className="card" aria-labelledby="choices">
          <h2 id="choices">What to measure</h2>
          <div className="bench-choices">
            {SECTION_NAMES.map((name) => (
              <Choice key={name} name={name} />
            ))}
          </div>
          <div className="bench-line">
            <Segments
              legend="What the GPU computes in"
              options={TIERS}
              value={tier}
              onChange={(next) => useBench.setState({ tier: next })}
              disabled={running}
              closed={(option) => {
                const needs = missing(option);
                return needs ? `Needs ${needs}` : undefined;
              }}
            />
            <label className="check">
              <input
                type="checkbox"
                checked={quick}
                disabled={running}
                onChange={(event) => useBench.setState({ quick: event.target.checked })}
              />
              Quick: smaller shapes, fewer repetitions
            </label>
          </div>
          <div className="actions">
            {running ? (
              <Button icon="stop" onClick={stopBench}>
                Stop
              </Button>
            ) : (
              <Button look="primary" disabled={!device || none} onClick={startBench}>
                Measure
              </Button>
            )}
            <Button icon="download" disabled={!report} onClick={save}>
              Download JSON
            </Button>
          </div>
          {running && current && (
            <div aria-live="polite">
              <Progress value={null} label={`Measuring: ${SECTIONS_ABOUT[current.section].title}`} />
              <p className="fine">Measuring: {SECTIONS_ABOUT[current.section].title} …</p>
            </div>
          )}
        </section>
        {results.map((result) => (
          <ResultCard key={result.section} result={result} />
        ))}
      </main>
    </>
  );
}
