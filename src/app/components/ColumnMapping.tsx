import { useId, useState } from 'react';
import type { PairColumns, Role } from '../../worker/protocol';
import { mapColumns } from '../store/data';
import { Button } from './ui';

type Name = keyof PairColumns;

const COLUMNS: { name: Name; label: string; required: boolean; none: string }[] = [
  { name: 'prompt', label: 'Prompt', required: false, none: 'what both answers begin with' },
  { name: 'input', label: 'Input, under the prompt', required: false, none: 'none' },
  { name: 'system', label: 'System turn', required: false, none: 'none' },
  { name: 'chosen', label: 'Chosen answer', required: true, none: 'choose a field' },
  { name: 'rejected', label: 'Rejected answer', required: true, none: 'choose a field' },
];

/** Which field holds what, to be corrected by hand. */
export function ColumnMapping({
  role,
  fields,
  columns,
  disabled,
  onDone,
}: {
  role: Role;
  fields: readonly string[];
  columns: PairColumns | null;
  disabled: boolean;
  onDone?(): void;
}) {
  const id = useId();
  const [draft, setDraft] = useState<Partial<PairColumns>>(columns ?? {});
  const { chosen, rejected } = draft;
  const complete = Boolean(chosen && rejected && chosen !== rejected);
  const read = (next: PairColumns | null) => void mapColumns(role, next).then((done) => done && onDone?.());
  return (
    <form
      className="mapping"
      aria-label="Which field holds what"
      onSubmit={(event) => {
        event.preventDefault();
        if (chosen && rejected) read({ ...draft, chosen, rejected });
      }}
    >
      {COLUMNS.map(({ name, label, required, none }) => (
        <div key={name} className="mapping-row">
          <label htmlFor={`${id}${name}`}>{label}</label>
          <select
            id={`${id}${name}`}
            value={draft[name] ?? ''}
            required={required}
            disabled={disabled}
            onChange={(event) => setDraft({ ...draft, [name]: event.target.value || undefined })}
          >
            <option value="">{none}</option>
            {fields.map((field) => (
              <option key={field}>{field}</option>
            ))}
          </select>
        </div>
      ))}
      <div className="actions">
        <Button type="submit" look="primary" disabled={disabled || !complete}>
          Read it this way
        </Button>
        <Button disabled={disabled} onClick={() => read(null)}>
          As recognised
        </Button>
      </div>
    </form>
  );
}
