import { describe, expect, test } from 'vitest';
import { dawn } from '../../src/cli/dawn';
import { isSoftwareAdapter, openGpu } from '../../src/gpu/device';
import { profileFor } from '../../src/gpu/profile';
import { testDevice } from '../support/gpu';

describe('openGpu', () => {
  test('opens the software adapter with its own limits raised', async () => {
    const gpu = await openGpu(await dawn({ software: true }));
    expect(gpu.isSoftware).toBe(true);
    expect(gpu.profile.direct).toBe(true);
    expect(gpu.device.limits.maxBufferSize).toBeGreaterThan(256 * 2 ** 20);
    expect(gpu.device.limits.maxComputeWorkgroupStorageSize).toBeGreaterThanOrEqual(16384);
    expect(gpu.faults).toEqual([]);
    // A fault outside of any scope is kept for whoever asks next.
    gpu.device.createBuffer({ size: 16, usage: 0x80, mappedAtCreation: false }).destroy();
    gpu.device.createShaderModule({ code: 'fn main() { nonsense; }' });
    await gpu.device.queue.onSubmittedWorkDone();
    await new Promise((done) => setTimeout(done, 20));
    expect(gpu.faults.join()).toMatch(/nonsense/);
    gpu.device.destroy();
    expect(await gpu.lost).toMatch(/^The GPU was lost \(.*load the model again\.$/);
  });

  test('no WebGPU, no adapter, no device: named errors that say what to do', async () => {
    await expect(openGpu(undefined)).rejects.toMatchObject({
      code: 'no-webgpu',
      message: expect.stringMatching(/Chrome/),
    });
    const none = { requestAdapter: async () => null } as unknown as GPU;
    await expect(openGpu(none)).rejects.toMatchObject({
      code: 'no-adapter',
      message: expect.stringMatching(/chrome:\/\/gpu/),
    });
    const gpu = openGpu(await dawn({ software: true }), { limits: { maxBufferSize: 2 ** 60 } });
    await expect(gpu).rejects.toMatchObject({ code: 'device-failed' });
  });
});

test('software adapters by any of their names', () => {
  const info = (fields: Partial<GPUAdapterInfo>) =>
    ({ vendor: '', architecture: '', device: '', description: '', ...fields }) as GPUAdapterInfo;
  expect(isSoftwareAdapter(info({ vendor: 'google', architecture: 'swiftshader' }))).toBe(true);
  expect(isSoftwareAdapter(info({ description: 'llvmpipe (LLVM 15)' }))).toBe(true);
  expect(isSoftwareAdapter(info({ description: 'Microsoft Basic Render Driver' }))).toBe(true);
  expect(isSoftwareAdapter(info({ isFallbackAdapter: true } as Partial<GPUAdapterInfo>))).toBe(true);
  expect(isSoftwareAdapter(info({ vendor: 'nvidia', architecture: 'ampere' }))).toBe(false);
});

test('tiles are what the kernels assume of them', async () => {
  const { limits } = await testDevice();
  const least = { maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize: 16384 };
  const cases = [limits, least, { ...least, maxComputeInvocationsPerWorkgroup: 128 }].flatMap((given) =>
    [true, false].map((software) => [{ limits: given } as GPUDevice, software] as const),
  );
  for (const [device, software] of cases) {
    const profile = profileFor(device, software);
    for (const { bm, bn, bk, tm, tn } of [profile.large, profile.small]) {
      for (const size of [bm, bn, bk, tm, tn]) expect(size % 4).toBe(0);
      expect(bm % tm).toBe(0);
      expect(bn % tn).toBe(0);
      expect((bm / tm) * (bn / tn)).toBeLessThanOrEqual(device.limits.maxComputeInvocationsPerWorkgroup);
      // Both staged tiles, rows padded by one vec4.
      const bytes = 16 * bk * (bm / 4 + 1 + bn / 4 + 1);
      expect(bytes).toBeLessThanOrEqual(device.limits.maxComputeWorkgroupStorageSize);
    }
    expect(profile.attentionTile % 8).toBe(0);
    expect(Math.log2(profile.rowThreads) % 1).toBe(0);
  }
});
