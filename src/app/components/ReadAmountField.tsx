import { useId } from 'react';
import type { ReadAmount } from '../../worker/protocol';
import { formatBytes } from '../lib/format';
import { loadFiles, useData } from '../store/data';
import { useSettings } from '../store/settings';
import { Button } from './ui';

const DEFAULT_ROWS = 10_000;

/** How much of the next file is read: said before it is. */
export function ReadAmountField({ disabled }: { disabled: boolean }) {
  const id = useId();
  const amount = useData((state) => state.amount);
  const seed = useSettings((state) => state.hparams.seed);
  const rows = amount.kind === 'all' ? DEFAULT_ROWS : amount.rows;
  const choose = (kind: ReadAmount['kind'], count = rows) => {
    const next: ReadAmount =
      kind === 'all' ? { kind } : kind === 'first' ? { kind, rows: count } : { kind, rows: count, seed };
    useData.setState({ amount: next });
  };
  return (
    <div className="amount">
      <label htmlFor={id}>Read</label>
      <select
        id={id}
        value={amount.kind}
        disabled={disabled}
        onChange={(event) => choose(event.target.value as ReadAmount['kind'])}
      >
        <option value="all">all rows</option>
        <option value="first">the first rows</option>
        <option value="sample">a random sample (seed {seed})</option>
      </select>
      {amount.kind !== 'all' && (
        <input
          type="number"
          aria-label="Rows to read"
          min={1}
          step={1}
          value={rows}
          disabled={disabled}
          onChange={(event) => {
            const count = event.target.valueAsNumber;
            if (Number.isInteger(count) && count >= 1) choose(amount.kind, count);
          }}
        />
      )}
    </div>
  );
}

const SOME_ROWS = 50_000;

/** Asks how much of very large files is wanted before they are read. */
export function LargeFiles({ large }: { large: NonNullable<ReturnType<typeof useData.getState>['large']> }) {
  const seed = useSettings((state) => state.hparams.seed);
  const { role, files, bytes } = large;
  const read = (amount: ReadAmount) => void loadFiles(role, files, amount);
  return (
    <div className="banner" role="status">
      <p>
        <strong>{files.map((file) => file.name).join(', ')}</strong> holds {formatBytes(bytes)}. Every row that is kept
        takes memory; a few thousand pairs are usually enough.
      </p>
      <div className="actions">
        <Button onClick={() => read({ kind: 'first', rows: SOME_ROWS })}>First {SOME_ROWS.toLocaleString('en')}</Button>
        <Button onClick={() => read({ kind: 'sample', rows: SOME_ROWS, seed })}>
          Sample of {SOME_ROWS.toLocaleString('en')}
        </Button>
        <Button onClick={() => read({ kind: 'all' })}>Everything</Button>
        <Button look="quiet" onClick={() => useData.setState({ large: null })}>
          Nothing
        </Button>
      </div>
    </div>
  );
}
