/** A labelled number that follows what is typed as long as it is allowed. */
import { useId, useState } from 'react';

interface Props {
  label: string;
  value: number | null;
  /** What is wrong with a number, or null. */
  check(value: number): string | null;
  /** Shown, and meant, where nothing stands. */
  empty?: string;
  whole?: boolean;
  disabled?: boolean;
  onChange(value: number | null): void;
}

/** Whole numbers from `least` on. */
export const wholeFrom =
  (least: number) =>
  (value: number): string | null =>
    Number.isInteger(value) && value >= least ? null : `A whole number of at least ${least}.`;

export function NumberField({ label, value, check, empty, whole = true, disabled = false, onChange }: Props) {
  const id = useId();
  const problemId = useId();
  const [draft, setDraft] = useState<string | null>(null);
  const typed = draft === null || draft === '' ? Number.NaN : Number(draft);
  const isEmpty = draft === '' && empty !== undefined;
  const problem = draft === null || isEmpty ? null : Number.isFinite(typed) ? check(typed) : 'A number.';
  return (
    <div className="number-field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="number"
        step={whole ? 1 : 'any'}
        value={draft ?? value ?? ''}
        placeholder={empty}
        disabled={disabled}
        aria-invalid={problem !== null}
        aria-describedby={problem ? problemId : undefined}
        onChange={({ target }) => {
          setDraft(target.value);
          const number = target.valueAsNumber;
          if (target.value === '' && empty !== undefined) onChange(null);
          else if (Number.isFinite(number) && check(number) === null) onChange(number);
        }}
        onBlur={() => setDraft(null)}
      />
      {problem && (
        <p id={problemId} className="fine bad-text">
          {problem}
        </p>
      )}
    </div>
  );
}
