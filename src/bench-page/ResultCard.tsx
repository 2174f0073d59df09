/** What one section measured: a table, and what else it had to say. */
import { Badge } from '../app/components/ui';
import type { Measurement } from '../bench/harness';
import { SECTIONS_ABOUT } from './sections';
import type { SectionResult } from './store';

const STATES = { running: 'measuring', done: 'done', failed: 'failed', stopped: 'stopped' } as const;

const milliseconds = (ms: number): string => (ms >= 100 ? ms.toFixed(0) : ms.toPrecision(3));

function rate({ tflops, gbps }: Measurement): string {
  if (tflops !== undefined) return `${tflops.toPrecision(3)} TFLOP/s`;
  return gbps === undefined ? '' : `${gbps.toPrecision(3)} GB/s`;
}

export function ResultCard({ result }: { result: SectionResult }) {
  const { section, state, lines, measurements, problem } = result;
  const { title } = SECTIONS_ABOUT[section];
  return (
    <section className="card" aria-labelledby={`result-${section}`}>
      <div className="spread">
        <h2 id={`result-${section}`}>{title}</h2>
        <Badge tone={state === 'done' ? 'good' : state === 'failed' ? 'bad' : 'plain'}>{STATES[state]}</Badge>
      </div>
      {problem && <p className="warn-text">{problem}</p>}
      {measurements.length > 0 && (
        <table>
          <caption className="visually-hidden">{title}: medians of seven batches</caption>
          <thead>
            <tr>
              <th scope="col">What</th>
              <th scope="col">Median, ms</th>
              <th scope="col">Fastest to slowest</th>
              <th scope="col">Rate</th>
            </tr>
          </thead>
          <tbody>
            {measurements.map((measurement) => (
              <tr key={`${measurement.group} ${measurement.name}`}>
                <td>{measurement.name}</td>
                <td className="number">{milliseconds(measurement.ms)}</td>
                <td className="number">{measurement.range.map(milliseconds).join(' to ')}</td>
                <td className="number">{rate(measurement)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {lines.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
        <section className="bench-lines" tabIndex={0} aria-label={`${title}, in words`}>
          <pre>{lines.join('\n')}</pre>
        </section>
      )}
    </section>
  );
}
