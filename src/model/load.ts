/** From a folder of model files to a model on the GPU. */

import type { ModelFiles } from '../formats/bytes';
import { Checkpoint } from '../formats/checkpoint';
import { Commands } from '../gpu/commands';
import type { Gpu } from '../gpu/device';
import { Memory } from '../gpu/memory';
import { parseConfig } from './config';
import type { QuantizeOptions } from './quantize';
import type { LoadedModel } from './session';
import { type LoadProgress, loadWeights } from './weights';

export interface OpenModel extends LoadedModel {
  checkpoint: Checkpoint;
  /** How weights of 16 or 32 bits were quantised on their way to the GPU; a merge must do the same. */
  quantize?: QuantizeOptions;
}

export interface LoadOptions {
  /**
   * Linear layers stored in 16 or 32 bits are quantised to NF4 on their way to the GPU, as bitsandbytes does it by
   * default, or with these options. Layers that are NF4 already stay as they are.
   */
  quantize?: 'nf4' | QuantizeOptions;
  /** Called once the files are known to be sound, before the first buffer: time to free what is to make room. */
  makeRoom?: () => Promise<void>;
}

/** Rejects with the named errors of the parts: ConfigError, CheckpointError, SafetensorsError, GpuError. */
export async function loadModel(
  gpu: Gpu,
  files: ModelFiles,
  onProgress?: LoadProgress,
  options: LoadOptions = {},
): Promise<OpenModel> {
  const checkpoint = await Checkpoint.open(files);
  const config = parseConfig(checkpoint.config);
  const weightMemory = new Memory(gpu.device);
  const cmd = new Commands(gpu.device);
  const quantize = options.quantize === 'nf4' ? {} : options.quantize;
  try {
    const weights = await loadWeights(checkpoint, config, cmd, weightMemory, onProgress, {
      quantize,
      makeRoom: options.makeRoom,
    });
    return { gpu, cmd, config, weights, weightMemory, checkpoint, quantize };
  } catch (error) {
    weightMemory.destroy();
    cmd.destroy();
    throw error;
  }
}
