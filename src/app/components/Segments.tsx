/** One of a few: buttons in a row, of which one is pressed. */
import type { ReactNode } from 'react';

interface SegmentsProps<Value> {
  /** What is chosen, for screen readers. */
  legend: string;
  options: readonly (readonly [Value, string])[];
  value: Value;
  onChange(value: Value): void;
  disabled?: boolean;
  /** Why an option cannot be taken now, as its tooltip; nothing when it can. */
  closed?(value: Value): string | undefined;
  /** What an option shows in place of its label. */
  show?(value: Value, label: string): ReactNode;
  className?: string;
}

export function Segments<Value>(props: SegmentsProps<Value>) {
  const { legend, options, value, onChange, disabled = false, closed, show, className = '' } = props;
  return (
    <fieldset className={`segments ${className}`.trim()}>
      <legend className="visually-hidden">{legend}</legend>
      {options.map(([option, label]) => {
        const why = closed?.(option);
        return (
          <button
            key={label}
            type="button"
            aria-pressed={option === value}
            disabled={disabled || why !== undefined}
            title={why}
            onClick={() => onChange(option)}
          >
            {show ? show(option, label) : label}
          </button>
        );
      })}
    </fieldset>
  );
}
