/** From a folder of model files to a model on the GPU. */

import type { ModelFiles } from '../formats/bytes';
import { Checkpoint } from '../formats/checkpoint';
import { Commands } from '../gpu/commands';
import type { Gpu } from '../gpu/device';
import { Memory } from '../gpu/memory';
import { parseConfig } from './config';
import type { LoadedModel } from './session';
import { type LoadProgress, loadWeights } from './weights';

export interface OpenModel extends LoadedModel {
  checkpoint: Checkpoint;
}

/** Rejects with the named errors of the parts: ConfigError, CheckpointError, SafetensorsError, GpuError. */
export async function loadModel(gpu: Gpu, files: ModelFiles, onProgress?: LoadProgress): Promise<OpenModel> {
  const checkpoint = await Checkpoint.open(files);
  const config = parseConfig(checkpoint.config);
  const weightMemory = new Memory(gpu.device);
  try {
    const weights = await loadWeights(checkpoint, config, weightMemory, onProgress);
    return { gpu, cmd: new Commands(gpu.device), config, weights, weightMemory, checkpoint };
  } catch (error) {
    weightMemory.destroy();
    throw error;
  }
}
