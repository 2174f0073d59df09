import { useId, useState } from 'react';
import { useAccount } from '../store/account';
import { addHubTask } from '../store/evaluation';
import { Button } from './ui';

/** A benchmark of the Hugging Face Hub by name, configuration and split; it is read when it is evaluated. */
export function EvaluateHub({ disabled }: { disabled: boolean }) {
  const id = useId();
  const token = useAccount((state) => state.token);
  const [name, setName] = useState('');
  const [config, setConfig] = useState('default');
  const [split, setSplit] = useState('test');
  const fields = [
    ['Data set on the Hub', name, setName, 'allenai/ai2_arc'],
    ['Configuration', config, setConfig, 'ARC-Easy'],
    ['Split', split, setSplit, 'test'],
  ] as const;
  const complete = [name, config, split].every((text) => text.trim() !== '');
  return (
    <form
      className="eval-hub"
      onSubmit={(event) => {
        event.preventDefault();
        if (!complete) return;
        addHubTask(name.trim(), config.trim(), split.trim(), token || undefined);
        setName('');
      }}
    >
      {fields.map(([label, value, set, placeholder]) => (
        <div className="eval-number" key={label}>
          <label htmlFor={`${id}${label}`}>{label}</label>
          <input
            id={`${id}${label}`}
            type="text"
            spellCheck={false}
            autoComplete="off"
            placeholder={placeholder}
            value={value}
            disabled={disabled}
            onChange={(event) => set(event.target.value)}
          />
        </div>
      ))}
      <Button type="submit" disabled={disabled || !complete}>
        Add it
      </Button>
    </form>
  );
}
