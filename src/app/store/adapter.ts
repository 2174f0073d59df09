/** An adapter of the visitor's that the next run starts from. */
import { create } from 'zustand';
import type { StartAdapter } from '../../worker/protocol';
import { announce, notice, reportError } from './alerts';
import { engine } from './client';
import { useSettings } from './settings';

export const useAdapter = create<{ adapter: StartAdapter | null }>(() => ({ adapter: null }));

/** Reads adapter_model.safetensors and adapter_config.json, and takes over the settings that the adapter needs. */
export async function takeAdapter(files: File[]): Promise<void> {
  try {
    const adapter = await engine.request('loadAdapter', { files });
    const { hparams, replace } = useSettings.getState();
    replace({ ...hparams, ...adapter.hparams });
    useAdapter.setState({ adapter });
    announce('The next run starts from this adapter.');
    notice(
      'adapter-taken',
      `The next run starts from the ${adapter.name}. Its rank ${adapter.hparams.lora_r}, alpha ${adapter.hparams.lora_alpha} and modules are taken over.`,
    );
  } catch (cause) {
    reportError(cause);
  }
}

export async function dropAdapter(): Promise<void> {
  useAdapter.setState({ adapter: null });
  await engine.request('clearAdapter', {}).catch(reportError);
  announce('The next run starts from a fresh adapter.');
}
