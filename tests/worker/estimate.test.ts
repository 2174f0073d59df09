import { expect, test } from 'vitest';
import { dawn } from '../../src/cli/dawn';
import { type Gpu, openGpu } from '../../src/gpu/device';
import { DEFAULT_HPARAMS } from '../../src/train/hparams';
import { estimate } from '../../src/worker/estimate';

const ask = (gpu: Gpu | null, pairs = 2) =>
  estimate(
    {
      shape: { known: 'llama-3.2-1b' },
      format: 'NF4',
      hparams: { ...DEFAULT_HPARAMS },
      pairs,
      promptShare: 0,
      gpuMemoryBytes: null,
    },
    gpu,
  );

test('an adapter that computes on the CPU is planned for as no adapter is', async () => {
  const gpu = await openGpu(await dawn({ software: true }));
  expect(gpu.isSoftware).toBe(true);
  expect(ask(gpu)).toEqual(ask(null));
  expect(ask({ ...gpu, isSoftware: false }).memoryBytes).not.toBe(ask(null).memoryBytes);
  expect(ask(null, 1).memoryBytes).toBeLessThan(ask(null).memoryBytes);
});
