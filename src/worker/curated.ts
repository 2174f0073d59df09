/** The curated models with their numbers, which follow from their shapes. */
import { CURATED } from '../hub/curated';
import { type LlamaConfig, parameterCount, projectionShapes } from '../model/config';
import { KNOWN_CONFIGS } from '../model/known-configs';
import { DEFAULT_HPARAMS } from '../train/hparams';
import { estimate } from './estimate';
import type { CuratedModel } from './protocol';

/** Bytes of the weights as published: 16 bits each, or NF4 with double-quantised maxima for the linear layers. */
export function publishedBytes(config: LlamaConfig, format: 'BF16' | 'NF4'): number {
  const all = parameterCount(config);
  if (format === 'BF16') return 2 * all;
  const layer = Object.values(projectionShapes(config)).reduce((sum, [rows, columns]) => sum + rows * columns, 0);
  const linear = layer * config.layers;
  // Half a byte a weight, a byte for each block of 64, four for each 256 blocks.
  return Math.round(linear * (1 / 2 + 1 / 64 + 4 / (64 * 256)) + 2 * (all - linear));
}

export function curatedModels(): CuratedModel[] {
  const hparams = { ...DEFAULT_HPARAMS, max_length: 1024, max_prompt_length: 512 };
  const shapes = new Map(
    KNOWN_CONFIGS.map(({ id, config }) => {
      const question = { shape: { known: id }, hparams, pairs: 1, promptShare: 0, gpuMemoryBytes: null } as const;
      return [id, { config, memoryBytes: estimate({ ...question, format: 'NF4' }, null).memoryBytes }];
    }),
  );
  return CURATED.map(({ shape, ...about }) => {
    const { config, memoryBytes } = shapes.get(shape)!;
    const downloadBytes = publishedBytes(config, about.format);
    return { ...about, parameters: parameterCount(config), downloadBytes, memoryBytes };
  });
}
