/** One setting: its name, its control, what it does, and the way back. */
import { useId } from 'react';
import type { HParams } from '../../worker/protocol';
import { formatSetting } from '../lib/format';
import type { Field, FieldKey } from '../settings/fields';
import { useSettings } from '../store/settings';
import { ModulesControl, NumberControl, TokenControl } from './controls';
import { IconButton } from './ui';

interface Props {
  field: Field;
  changed: boolean;
  problem: string | null;
  presetTitle: string;
  presetValue: HParams[FieldKey];
}

function shown(value: HParams[FieldKey]): string {
  if (value === null) return 'none';
  if (typeof value === 'number') return formatSetting(value);
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return Array.isArray(value) ? value.join(', ') : value;
}

function Control({ field, id, describedBy, bad }: { field: Field; id: string; describedBy: string; bad: boolean }) {
  const value = useSettings((state) => state.hparams[field.key]);
  const set = useSettings((state) => state.set);
  const common = { id, 'aria-describedby': describedBy, 'aria-invalid': bad || undefined };
  switch (field.kind) {
    case 'number':
      return <NumberControl field={field} rule={field} {...common} />;
    case 'switch':
      return (
        <input
          type="checkbox"
          className="toggle"
          checked={value === true}
          onChange={(event) => set(field.key, event.target.checked)}
          {...common}
        />
      );
    case 'choice':
      return (
        <select value={String(value)} onChange={(event) => set(field.key, event.target.value as never)} {...common}>
          {field.choices.map((choice) => (
            <option key={choice.value} value={choice.value}>
              {choice.label}
            </option>
          ))}
        </select>
      );
    case 'modules':
      return <ModulesControl label={`${field.title} ${field.key}`} describedBy={describedBy} />;
    case 'token':
      return <TokenControl field={field} {...common} />;
  }
}

export function FieldEditor({ field, changed, problem, presetTitle, presetValue }: Props) {
  const id = useId();
  const aboutId = `${id}about`;
  const problemId = `${id}problem`;
  const reset = useSettings((state) => state.reset);
  const describedBy = problem ? `${problemId} ${aboutId}` : aboutId;
  const name = (
    <>
      {field.title} <code>{field.key}</code>
    </>
  );
  return (
    <div className={`field ${field.kind}${changed ? ' changed' : ''}${problem ? ' bad' : ''}`}>
      <div className="field-name">
        {field.kind === 'modules' ? <span className="label">{name}</span> : <label htmlFor={id}>{name}</label>}
        {changed && (
          <IconButton
            icon="undo"
            label={`Reset ${field.key} to ${presetTitle}: ${shown(presetValue)}`}
            onClick={() => reset(field.key)}
          />
        )}
      </div>
      <div className="field-control">
        <Control field={field} id={id} describedBy={describedBy} bad={problem !== null} />
      </div>
      <div className="field-about">
        {problem && (
          <p id={problemId} className="field-problem">
            {problem}
          </p>
        )}
        <p id={aboutId}>
          {field.about}
          {changed && (
            <span className="was">
              {' '}
              {presetTitle}: {shown(presetValue)}.
            </span>
          )}
        </p>
      </div>
    </div>
  );
}
