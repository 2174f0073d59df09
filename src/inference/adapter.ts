/** A PEFT adapter's files as the adapter of a session. */
import { type ModelFiles, readText } from '../formats/bytes';
import { ADAPTER_CONFIG_FILE, ADAPTER_FILE, parseAdapterConfig, readAdapter } from '../formats/peft';
import type { LlamaConfig } from '../model/config';
import { loraLayout } from '../model/lora';
import { type DeviceLimits, slabLimit } from '../model/plan';
import type { TargetModule } from '../train/hparams';
import type { AdapterSource } from './session';

/** Rejects with AdapterError for files that are missing something or cannot be reproduced. */
export async function adapterOf(files: ModelFiles, config: LlamaConfig, limits: DeviceLimits): Promise<AdapterSource> {
  const settings = parseAdapterConfig(await readText(files, ADAPTER_CONFIG_FILE));
  const layout = loraLayout(
    config,
    { ...settings, lora_r: settings.r, target_modules: settings.target_modules as TargetModule[] },
    slabLimit(limits),
  );
  return { layout, tensors: await readAdapter(await files.open(ADAPTER_FILE)) };
}
