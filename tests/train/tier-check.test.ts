/** A tier is trusted for what a step in it gives, and not otherwise. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dawn } from '../../src/cli/dawn';
import { type Gpu, openGpu } from '../../src/gpu/device';
import type { KernelProfile } from '../../src/gpu/profile';
import { CHECK_SHAPE, type CheckShape, checkTier } from '../../src/train/tier-check';

/** Small enough for a software adapter. */
const SHAPE: CheckShape = {
  config: {
    ...CHECK_SHAPE.config,
    vocabSize: 64,
    hiddenSize: 64,
    intermediateSize: 64,
    heads: 2,
    kvHeads: 1,
    headDim: 32,
  },
  length: 24,
};

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu(await dawn({ software: true }));
});
afterAll(() => gpu.device.destroy());

/** The device in a tier that computes with this profile, right or not. */
const made = (profile: Partial<KernelProfile>): Gpu => ({
  ...gpu,
  profile: { ...gpu.profile, tier: 'f16', ...profile },
});

test('kernels that compute as f32 does pass, with numbers', async () => {
  const check = await checkTier(made({ rowThreads: 8 }), SHAPE);
  expect(check).toMatchObject({ tier: 'f16', passed: true, problem: null });
  expect(check.loss).toBeLessThan(1e-5);
  // Another order of adding up: near, and not the very same step.
  expect(check.gradients).toBeGreaterThan(0);
  expect(check.gradients).toBeLessThan(1e-4);
});

test('kernels that compute something else do not, and it is said by how much', async () => {
  // Reductions halve their threads: of three, one is lost.
  const check = await checkTier(made({ rowThreads: 3 }), SHAPE);
  expect(check).toMatchObject({ tier: 'f16', passed: false });
  expect(check.gradients).toBeGreaterThan(2e-2);
  expect(check.problem).toMatch(/^a small step differs .* gradients [\d.]+ \(allowed 0\.02\)$/);
});

test('kernels that the device refuses do not, and the device is as good as before', async () => {
  const threads = 2 * gpu.device.limits.maxComputeInvocationsPerWorkgroup;
  const check = await checkTier(made({ rowThreads: threads }), SHAPE);
  expect(check).toMatchObject({ passed: false, loss: null, gradients: null });
  expect(check.problem).toMatch(/^the GPU refused part of the work: .*workgroup/is);
  expect(gpu.faults).toEqual([]);
  expect((await checkTier(made({}), SHAPE)).passed).toBe(true);
});
