/** A PEFT adapter of the visitor's, for a run to start from. */
import { memorySource } from '../formats/bytes';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_FILE,
  AdapterError,
  type AdapterTensor,
  parseAdapterConfig,
  readAdapter,
} from '../formats/peft';
import { sha256Hex } from '../storage/sha256';
import type { StartAdapter } from './protocol';

export interface StartingAdapter {
  about: StartAdapter;
  tensors: Map<string, AdapterTensor>;
}

/** @throws AdapterError when one of the two files is missing or cannot be used */
export async function readStartAdapter(files: readonly File[]): Promise<StartingAdapter> {
  const find = (name: string): File => {
    const file = files.find((candidate) => candidate.name === name);
    if (!file)
      throw new AdapterError('bad-adapter', `An adapter is two files; ${name} is missing. Choose both at once.`);
    return file;
  };
  const [weights, config] = [find(ADAPTER_FILE), find(ADAPTER_CONFIG_FILE)];
  const parsed = parseAdapterConfig(await config.text());
  const bytes = new Uint8Array(await weights.arrayBuffer());
  const tensors = await readAdapter(memorySource(bytes));
  const about: StartAdapter = {
    name: parsed.base_model_name_or_path ? `adapter of ${parsed.base_model_name_or_path}` : 'adapter',
    sha256: await sha256Hex(bytes),
    hparams: {
      lora_r: parsed.r,
      lora_alpha: parsed.lora_alpha,
      use_rslora: parsed.use_rslora,
      use_dora: parsed.use_dora,
      lora_dropout: parsed.lora_dropout,
      target_modules: [...parsed.target_modules] as StartAdapter['hparams']['target_modules'],
    },
    baseModel: parsed.base_model_name_or_path,
  };
  return { about, tensors };
}
