/** The memory plan before any download, as the page asks for it. */

import type { Gpu } from '../gpu/device';
import { totalBytes } from '../gpu/memory';
import { type LlamaConfig, parameterCount, parseConfig } from '../model/config';
import { type EstimateInput, estimateSpecs, type PlannedKernels, waysToFit } from '../model/estimate';
import { KNOWN_CONFIGS } from '../model/known-configs';
import type { DeviceLimits } from '../model/plan';
import { parseHParams } from '../train/parse-hparams';
import { StateError } from './errors';
import type { MemoryEstimate, Requests } from './protocol';
import { memoryItems } from './run-plan';

/** To plan with where there is no GPU: limits that common cards have, and the kernels of the f32 tier. */
const TYPICAL: DeviceLimits = { maxBufferSize: 2 ** 31, maxStorageBufferBindingSize: 2 ** 31 - 4 };
const TYPICAL_KERNELS: PlannedKernels = { attentionTile: 32, rowThreads: 128, direct: false, spareMlpBytes: 2 ** 27 };

function shapeOf(shape: Requests['estimate']['args']['shape']): LlamaConfig {
  if ('config' in shape) return parseConfig(JSON.parse(shape.config) as Record<string, unknown>);
  const known = KNOWN_CONFIGS.find(({ id }) => id === shape.known);
  if (!known) throw new StateError('unknown-model', `There is no shape named ${shape.known}.`);
  return known.config;
}

/** @throws ConfigError, SyntaxError or TrainingError when config or settings cannot be used */
export function estimate(args: Requests['estimate']['args'], gpu: Gpu | null): MemoryEstimate {
  const { hparams } = parseHParams(args.hparams);
  // Who asks with an adapter that computes on the CPU asks for another machine, or for the GPU that is yet to be turned on.
  const real = gpu && !gpu.isSoftware ? gpu : null;
  const limits = real?.device.limits ?? TYPICAL;
  const kernels = real?.profile ?? TYPICAL_KERNELS;
  const input: EstimateInput = {
    config: shapeOf(args.shape),
    format: args.format,
    hparams,
    pairs: args.pairs,
    promptShare: args.promptShare,
  };
  const specs = estimateSpecs(input, limits, kernels);
  const bytes = totalBytes(specs);
  const largest = specs.reduce((max, spec) => (spec.bytes > max.bytes ? spec : max));
  const room = args.gpuMemoryBytes ?? Number.POSITIVE_INFINITY;
  const limit = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
  const fits = bytes <= room && largest.bytes <= limit;
  return {
    parameters: parameterCount(input.config),
    memory: memoryItems(specs),
    memoryBytes: bytes,
    largestBuffer: { name: largest.name, bytes: largest.bytes, limit },
    fits,
    waysToFit: fits ? [] : waysToFit(input, limits, kernels, room),
  };
}
