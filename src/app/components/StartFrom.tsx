/** What the adapter of the next run starts as. */
import { dropAdapter, takeAdapter, useAdapter } from '../store/adapter';
import { Button, FileButton } from './ui';

export function StartFrom({ disabled }: { disabled: boolean }) {
  const adapter = useAdapter((state) => state.adapter);
  return (
    <section className="card start-from" aria-labelledby="start-title">
      <div>
        <h2 id="start-title">Start from</h2>
        <p className="fine">
          {adapter
            ? `The ${adapter.name}: rank ${adapter.hparams.lora_r}, alpha ${adapter.hparams.lora_alpha}. Its optimizer starts afresh.`
            : 'A fresh adapter. To train one further, choose its adapter_model.safetensors and adapter_config.json, or drop them anywhere.'}
        </p>
      </div>
      {adapter ? (
        <Button icon="close" disabled={disabled} onClick={() => void dropAdapter()}>
          Start afresh instead
        </Button>
      ) : (
        <FileButton
          label="Choose a PEFT adapter"
          accept=".safetensors,.json"
          icon="upload"
          multiple
          disabled={disabled}
          onFiles={(files) => void takeAdapter(files)}
        />
      )}
    </section>
  );
}
