import { useId } from 'react';

/** Whether 16-bit linear layers become NF4 on their way to the GPU. */
export function QuantizeToggle({
  format,
  value,
  onChange,
}: {
  format: string;
  value: boolean;
  onChange(value: boolean): void;
}) {
  const id = useId();
  return (
    <div className="quantize">
      <input
        id={id}
        type="checkbox"
        className="toggle"
        checked={value}
        onChange={(event) => onChange(event.target.checked)}
      />
      <label htmlFor={id}>Quantise to NF4 while loading</label>
      <p className="fine">
        {value
          ? `A quarter of the GPU memory. The stored weights stay ${format}, and the adapter can be merged into them.`
          : `The weights stay ${format} on the GPU as well.`}
      </p>
    </div>
  );
}
