import { useState } from 'react';
import type { DataSummary, RowProblem } from '../../worker/protocol';
import { formatCount, plural } from '../lib/format';
import { clearData, type Role, titleOf, undoRemoval, useData } from '../store/data';
import { useModels } from '../store/models';
import { busyState, useRun } from '../store/run';
import { ColumnMapping } from './ColumnMapping';
import { Badge, Button, IconButton } from './ui';

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
              <th scope="col">{summary.unit === 'row' ? 'Row' : 'Line'}</th>
              <th scope="col">Reason</th>
              <th scope="col">Details</th>
            </tr>
          </thead>
          <tbody>
            {summary.problems.map((problem, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: several files may have the same line, and the list never moves
              <tr key={`${index} ${problem.line}`}>
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

function amountNote({ amount, limited, kept, removals }: DataSummary): string {
  const removed = removals.reduce((sum, { count }) => sum + count, 0);
  if (amount.kind === 'sample') return ` A sample of ${formatCount(kept + removed)} is kept (seed ${amount.seed}).`;
  return limited ? ' The rest was not read.' : '';
}

const KINDS = { repeated: 'repeated', reversed: 'contradicting', 'same-answers': 'undecided' } as const;

/** Rows that were taken out by hand, and the way back. */
function Removals({ part, summary, disabled }: { part: Role; summary: DataSummary; disabled: boolean }) {
  const last = summary.removals.at(-1);
  if (part !== 'train' || !last) return null;
  return (
    <div className="spread removals">
      <span>
        Taken out: {summary.removals.map(({ kind, count }) => `${formatCount(count)} ${KINDS[kind]}`).join(', ')}.{' '}
        {plural(summary.kept, 'row')} left.
      </span>
      <Button icon="undo" className="small" disabled={disabled} onClick={() => void undoRemoval()}>
        Undo
      </Button>
    </div>
  );
}

export function DataSummaryCard({ part, summary, title }: { part: Role; summary: DataSummary; title: string }) {
  const dataOffers = useModels((state) => state.dataOffers);
  const running = useRun((state) => busyState(state.progress));
  const reading = useData((state) => state.reading !== null);
  const [mapping, setMapping] = useState(false);
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
        <strong>{formatCount(summary.usable)} usable</strong>.{amountNote(summary)}
      </p>
      <Problems summary={summary} />
      <Removals part={part} summary={summary} disabled={running || reading} />
      <p className="actions">
        <span className="fine">{summary.format}</span>
        <Button look="quiet" className="small" aria-expanded={mapping} onClick={() => setMapping(!mapping)}>
          {mapping ? 'Leave the columns' : 'Correct the columns'}
        </Button>
      </p>
      {mapping && (
        <ColumnMapping
          key={summary.schema}
          role={part}
          fields={summary.fields}
          columns={summary.columns}
          disabled={running || reading}
          onDone={() => setMapping(false)}
        />
      )}
    </section>
  );
}
