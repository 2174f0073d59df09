import { useId } from 'react';

export function Smoothing({ value, onChange }: { value: number; onChange(value: number): void }) {
  const id = useId();
  return (
    <div className="smoothing">
      <label htmlFor={id}>Smoothing</label>
      <input
        id={id}
        type="range"
        min={0}
        max={0.99}
        step={0.01}
        value={value}
        onChange={(event) => onChange(event.target.valueAsNumber)}
      />
      <output htmlFor={id} className="number">
        {value.toFixed(2)}
      </output>
    </div>
  );
}
