import type { DataSummary, RowProblem } from '../../worker/protocol';
import { formatCount, plural } from '../lib/format';
import { clearData, type Role, titleOf } from '../store/data';
import { useModels } from '../store/models';
import { busyState, useRun } from '../store/run';
import { Badge, IconButton } from './ui';

const REASONS: Partial<Record<RowProblem['reason'], string>> = {
  'not-json': 'not JSON',
  'not-an-object': 'not an object',
  'missing-field': 'a field is missing',
  'wrong-type': 'wrong type',
  'empty-answer': 'empty answer',
  'chosen-equals-rejected': 'chosen equals rejected',
  'not-text': 'not text',
  'no-answer-tokens': 'no answer left',
  'prompt-mismatch': 'prompts differ',
};

/** A reason in words; one without words of its own reads as its name does. */
const inWords = (reason: RowProblem['reason']): string => REASONS[reason] ?? reason.replaceAll('-', ' ');

function Problems({ summary }: { summary: DataSummary }) {
  const total = summary.problemCounts.reduce((sum, { count }) => sum + count, 0);
  if (total === 0) return <p className="fine good-text">Every row is usable.</p>;
  return (
    <details className="problems" open={total <= 5}>
      <summary>
        {plural(total, 'row')} left out:{' '}
        {summary.problemCounts.map(({ reason, count }) => `${formatCount(count)} ${inWords(reason)}`).join(', ')}
      </summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard */}
      <section className="table-scroll" tabIndex={0} aria-label={`Rows left out of ${summary.name}`}>
        <table>
          <thead>
            <tr>
              <th scope="col">Line</th>
              <th scope="col">Reason</th>
              <th scope="col">Details</th>
            </tr>
          </thead>
          <tbody>
            {summary.problems.map((problem) => (
              <tr key={`${problem.line} ${problem.reason} ${problem.message}`}>
                <td className="number">{problem.line}</td>
                <td>{inWords(problem.reason)}</td>
                <td>{problem.message}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      {total > summary.problems.length && (
        <p className="fine">The first {formatCount(summary.problems.length)} are listed.</p>
      )}
    </details>
  );
}

export function DataSummaryCard({ part, summary, title }: { part: Role; summary: DataSummary; title: string }) {
  const dataOffers = useModels((state) => state.dataOffers);
  const running = useRun((state) => busyState(state.progress));
  return (
    <section className="card" aria-label={title}>
      <div className="spread">
        <h2>{title}</h2>
        <IconButton
          icon="trash"
          label={`Remove the ${part === 'train' ? 'training' : 'held-out'} data`}
          disabled={running}
          onClick={() => void clearData(part)}
        />
      </div>
      <p className="big-name">{titleOf(summary.name, dataOffers)}</p>
      <p>
        Read as <Badge>{summary.schema}</Badge> {plural(summary.rows, 'row')},{' '}
        <strong>{formatCount(summary.usable)} usable</strong>.
      </p>
      <Problems summary={summary} />
    </section>
  );
}
