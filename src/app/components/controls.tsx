/** Controls of settings that are more than a plain select or checkbox. */
import { useState } from 'react';
import { TARGET_MODULES } from '../../worker/protocol';
import { formatSetting } from '../lib/format';
import type { Field, NumberRule } from '../settings/fields';
import { checkNumber, parseNumber } from '../settings/validate';
import { useSettings } from '../store/settings';

interface Common {
  id: string;
  'aria-describedby': string;
  'aria-invalid'?: boolean;
}

interface Draft {
  text: string;
  /** The value it was typed for; null when it is no allowed number. */
  for: number | null;
}

/** What was typed wrong, for as long as it is marked wrong: it is there again when the visitor comes back to it. */
const wrong = new Map<Field['key'], string>();

/**
 * A number as text, so that 8e-6 can be typed. The setting follows every keystroke that makes an allowed number; what
 * does not stays in the field, marked, and holds the run back.
 */
export function NumberControl({ field, rule, ...common }: { field: Field; rule: NumberRule } & Common) {
  const value = useSettings((state) => state.hparams[field.key]) as number;
  const broken = useSettings((state) => field.key in state.invalid);
  const { set, setInvalid } = useSettings.getState();
  const [draft, setDraft] = useState<Draft | null>(() => ({ text: wrong.get(field.key) ?? '', for: null }));
  // A draft is good for its value, a wrong one while it is marked; a reset or a preset puts both aside.
  const current = draft && (draft.for === null ? broken : draft.for === value) ? draft.text : formatSetting(value);

  const change = (text: string) => {
    const typed = parseNumber(text);
    const problem = checkNumber(rule, typed);
    setDraft({ text, for: problem ? null : typed });
    if (problem) {
      wrong.set(field.key, text);
      setInvalid(field.key, problem);
    } else set(field.key, typed);
  };
  return (
    <input
      type="text"
      inputMode="decimal"
      autoComplete="off"
      spellCheck={false}
      className="number"
      value={current}
      onChange={(event) => change(event.target.value)}
      onBlur={() => !broken && setDraft(null)}
      {...common}
    />
  );
}

/** Which projections get an adapter. */
export function ModulesControl({ label, describedBy }: { label: string; describedBy: string }) {
  const chosen = useSettings((state) => state.hparams.target_modules);
  const set = useSettings((state) => state.set);
  const toggle = (name: (typeof TARGET_MODULES)[number], on: boolean) =>
    set(
      'target_modules',
      TARGET_MODULES.filter((module) => (module === name ? on : chosen.includes(module))),
    );
  return (
    <fieldset className="modules" aria-label={label} aria-describedby={describedBy}>
      {TARGET_MODULES.map((name) => (
        <label key={name} className={chosen.includes(name) ? 'module on' : 'module'}>
          <input
            type="checkbox"
            checked={chosen.includes(name)}
            onChange={(event) => toggle(name, event.target.checked)}
          />
          {name}
        </label>
      ))}
    </fieldset>
  );
}

/** The tokenizer's own token, none, or an id. */
export function TokenControl({ field, ...common }: { field: Field } & Common) {
  const value = useSettings((state) => state.hparams[field.key]) as number | 'tokenizer' | null;
  const set = useSettings((state) => state.set);
  const mode = value === null ? 'none' : typeof value === 'number' ? 'id' : 'tokenizer';
  const choose = (next: string) => set(field.key, (next === 'none' ? null : next === 'id' ? 0 : 'tokenizer') as never);
  return (
    <span className="token-control">
      <select value={mode} onChange={(event) => choose(event.target.value)} {...common}>
        <option value="tokenizer">tokenizer: its own</option>
        <option value="none">none</option>
        <option value="id">this id:</option>
      </select>
      {typeof value === 'number' && (
        <input
          type="number"
          min={0}
          step={1}
          aria-label={`Token id for ${field.key}`}
          value={value}
          onChange={(event) => {
            const id = event.target.valueAsNumber;
            if (Number.isInteger(id) && id >= 0) set(field.key, id as never);
          }}
        />
      )}
    </span>
  );
}
