/** Which tiers a device has, by what it tells of its matrix units; on Dawn's null device, which has every feature. */
import { beforeAll, expect, test } from 'vitest';
import { create } from 'webgpu';
import { chooseTier } from '../../src/gpu/device';
import { profileFor } from '../../src/gpu/profile';
import { SUBGROUP_MATRIX, TIER_TOLERANCES, TIERS, tierSupport, tolerancesOf } from '../../src/gpu/tiers';

const kept = globalThis as typeof globalThis & { nullGpu?: GPU };
let device: GPUDevice;

beforeAll(async () => {
  kept.nullGpu = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
  const adapter = (await kept.nullGpu.requestAdapter())!;
  device = await adapter.requestDevice({
    requiredFeatures: ['shader-f16', 'subgroups' as GPUFeatureName, SUBGROUP_MATRIX],
  });
});

const config = (operands: string, results: string, size: number) => ({
  componentType: operands,
  resultComponentType: results,
  M: size,
  N: size,
  K: size,
});
const F32 = config('f32', 'f32', 8);
const APPLE = [F32, config('f16', 'f16', 8)];

const supportOf = (vendor: string, subgroups: [number, number], subgroupMatrixConfigs: object[]) => {
  const [subgroupMinSize, subgroupMaxSize] = subgroups;
  const info = { vendor, subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs };
  return tierSupport(device, info as unknown as GPUAdapterInfo, false);
};

test.each([
  [32, 32],
  [4, 64],
])('units for f32, subgroups of %i to %i: used on request, in no other form', async (least, most) => {
  const support = await supportOf('apple', [least, most], APPLE);
  expect(support.matrix).toEqual({ spelling: 'template', subgroup: 32, operands: 'f32' });
  expect(support.tiers).toEqual(TIERS);
  expect(chooseTier(support, 'auto')).toBe('f16');
  expect(chooseTier(support, 'subgroup-matrix')).toBe('subgroup-matrix');
  const profile = profileFor(device, false, 'subgroup-matrix', support.matrix);
  expect(profile).toMatchObject({ tier: 'subgroup-matrix', floatMatrix: support.matrix });
  expect(profile.matrix).toBeUndefined();
  expect(profile.half).toBeUndefined();
  expect(tolerancesOf(profile)).toBe(TIER_TOLERANCES.f32);
});

test('units for f16 come before those for f32, and are used by default', async () => {
  const support = await supportOf('nvidia', [32, 32], [F32, config('f16', 'f32', 16)]);
  expect(support.matrix).toEqual({ spelling: 'template', subgroup: 32 });
  expect(chooseTier(support, 'auto')).toBe('subgroup-matrix');
  const profile = profileFor(device, false, 'subgroup-matrix', support.matrix);
  expect(profile.matrix).toBe(support.matrix);
  expect(profile.floatMatrix).toBeUndefined();
  expect(tolerancesOf(profile)).toBe(TIER_TOLERANCES['subgroup-matrix']);
});

test('units that add up in f16, and subgroups of an unknown size, are not used', async () => {
  const halves = await supportOf('apple', [32, 32], [config('f16', 'f16', 8)]);
  expect(halves.matrix).toBeNull();
  expect(halves.missing['subgroup-matrix']).toMatch(/8 x 8 x 8 of f32/);
  const sizes = await supportOf('intel', [8, 32], APPLE);
  expect(sizes.matrix).toBeNull();
  expect(sizes.missing['subgroup-matrix']).toBe('subgroups of one size');
});
