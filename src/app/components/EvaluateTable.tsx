/** Base beside tuned: a row for each metric of each task. */
import type { MetricName, MetricRow, TaskReport } from '../../worker/protocol';
import { formatCount, formatPercent } from '../lib/format';
import { saveEvaluation, useEvaluation } from '../store/evaluation';
import { Button } from './ui';

const NAMES: Record<MetricName, { short: string; long: string }> = {
  acc: { short: 'acc', long: 'the right choice has the largest log-likelihood' },
  acc_norm: { short: 'acc_norm', long: 'the right choice has the largest log-likelihood per byte' },
  mc1: { short: 'mc1', long: 'the one right answer is the likeliest' },
  mc2: { short: 'mc2', long: 'share of probability of the true answers' },
  exact_match: { short: 'exact_match', long: 'the produced answer equals the expected one' },
  acc_mean: { short: 'acc_mean', long: 'chosen is likelier than rejected, by the mean over its tokens' },
  acc_sum: { short: 'acc_sum', long: 'chosen is likelier than rejected, by the sum over its tokens' },
};

const signed = (value: number, digits = 1): string =>
  `${value > 0 ? '+' : value < 0 ? '−' : ''}${Math.abs(100 * value).toFixed(digits)}`;

const share = ({ value, stderr }: MetricRow['base']) => (
  <>
    {formatPercent(value)} <span className="muted">± {(100 * stderr).toFixed(1)}</span>
  </>
);

const pValue = (p: number | null): string => (p === null ? '–' : p < 0.001 ? '< 0.001' : p.toFixed(3));

function Row({ report, row, first }: { report: TaskReport; row: MetricRow; first: boolean }) {
  const { comparison: c, tuned, base, n } = row;
  return (
    <tr className={first ? 'first' : undefined}>
      <th scope="row">
        {first && <strong>{report.title}</strong>} <code title={NAMES[row.metric].long}>{NAMES[row.metric].short}</code>
      </th>
      <td>{formatCount(n)}</td>
      <td>{share(base)}</td>
      {tuned && c && (
        <>
          <td>{share(tuned)}</td>
          <td className={c.difference > 0 ? 'better' : c.difference < 0 ? 'worse' : undefined}>
            {signed(c.difference)} <span className="muted">± {(100 * c.stderr).toFixed(1)}</span>
          </td>
          <td>
            {signed(c.interval[0])} … {signed(c.interval[1])}
          </td>
          <td>{pValue(c.p)}</td>
          <td>{c.won === null ? '–' : `+${c.won} −${c.lost}`}</td>
        </>
      )}
    </tr>
  );
}

function TextRow({ report, tuned }: { report: TaskReport; tuned: boolean }) {
  const { base, tuned: after, tokens } = report.text!;
  return (
    <tr className="first">
      <th scope="row">
        <strong>{report.title}</strong>{' '}
        <code title="exp of the mean negative log-likelihood of a token">perplexity</code>
      </th>
      <td>{formatCount(tokens)}</td>
      <td>{base.perplexity.toFixed(2)}</td>
      {tuned && (
        <>
          <td>{after?.perplexity.toFixed(2) ?? '–'}</td>
          {/* A larger perplexity is worse. */}
          <td className={after && after.perplexity > base.perplexity ? 'worse' : 'better'}>
            {after
              ? `${after.perplexity > base.perplexity ? '+' : '−'}${Math.abs(after.perplexity - base.perplexity).toFixed(2)}`
              : '–'}
          </td>
          <td>–</td>
          <td>–</td>
          <td>–</td>
        </>
      )}
    </tr>
  );
}

/** Sentences about what the numbers cannot tell, each once. */
function Cautions({ reports }: { reports: readonly TaskReport[] }) {
  const lines = reports.flatMap((report) => {
    const own = report.rows[0]?.comparison?.cautions ?? [];
    const cut = report.cut > 0 ? [`${formatCount(report.cut)} contexts were too long and lost their beginning.`] : [];
    const unused = report.unused
      ? [`${formatCount(report.unused.count)} rows were left out. ${report.unused.first}`]
      : [];
    return [...own, ...cut, ...unused].map((text) => ({ key: `${report.id} ${text}`, title: report.title, text }));
  });
  if (lines.length === 0) return null;
  return (
    <ul className="eval-cautions fine" aria-label="What the numbers cannot tell">
      {lines.map(({ key, title, text }) => (
        <li key={key}>
          <strong>{title}:</strong> {text}
        </li>
      ))}
    </ul>
  );
}

export function EvaluateTable() {
  const { reports, tuned } = useEvaluation();
  if (reports.length === 0) return null;
  const columns = [
    'Task',
    'Items',
    'Base',
    ...(tuned ? ['Tuned', 'Difference', '95 % interval', 'McNemar p', 'Flipped'] : []),
  ];
  return (
    <section className="card stack" aria-labelledby="eval-results">
      <div className="spread wrap">
        <h2 id="eval-results">{tuned ? 'Base beside tuned' : 'Base model'}</h2>
        <div className="actions">
          <Button look="quiet" className="small" icon="download" onClick={() => void saveEvaluation('json')}>
            results.json
          </Button>
          <Button look="quiet" className="small" icon="download" onClick={() => void saveEvaluation('csv')}>
            Table as CSV
          </Button>
        </div>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard */}
      <section className="scroll" tabIndex={0} aria-label="Results of every task">
        <table className="eval-table number">
          <thead>
            <tr>
              {columns.map((name) => (
                <th scope="col" key={name}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {reports.map((report) =>
              report.text ? (
                <TextRow key={report.id} report={report} tuned={tuned} />
              ) : (
                report.rows.map((row, i) => (
                  <Row key={report.id + row.metric} report={report} row={row} first={i === 0} />
                ))
              ),
            )}
          </tbody>
        </table>
      </section>
      <Cautions reports={reports} />
      <p className="fine muted">
        Per cent, ± one standard error. The interval is of the paired difference (bootstrap over items); p is the exact
        McNemar test of the items that flipped.
      </p>
    </section>
  );
}
