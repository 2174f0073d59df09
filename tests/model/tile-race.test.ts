/** Tiles race: the fastest that is right is chosen, in the time that is given. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dawn } from '../../src/cli/dawn';
import { type Gpu, openGpu, withTier } from '../../src/gpu/device';
import { tileCandidates } from '../../src/gpu/profile';
import { PRODUCT_KINDS, raceTiles } from '../../src/model/tile-race';

const SHAPE = { rows: 64, columns: 64, tokens: 32 };

let gpu: Gpu;
beforeAll(async () => {
  const opened = await openGpu(await dawn({ software: true }));
  // Kernels with tiles run on it as well, slowly.
  gpu = withTier({ ...opened, isSoftware: false }, 'f32');
});
afterAll(() => gpu.device.destroy());

test('candidates begin with what is used unmeasured, fit the device, and are at most four', () => {
  const { limits } = gpu.device;
  const least = { maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize: 16384 };
  for (const given of [limits, least, { ...least, maxComputeWorkgroupStorageSize: 49152 }]) {
    const device = { limits: given } as GPUDevice;
    for (const kind of PRODUCT_KINDS) {
      const tiles = tileCandidates(device, kind);
      expect(tiles.length).toBeGreaterThanOrEqual(2);
      expect(tiles.length).toBeLessThanOrEqual(4);
      const { tuned, large } = withTier({ ...gpu, device }, 'f32').profile;
      expect(tiles[0]).toEqual(tuned?.[kind] ?? large);
      expect(new Set(tiles.map((tile) => JSON.stringify(tile))).size).toBe(tiles.length);
      for (const { bm, bn, bk, tm, tn } of tiles) {
        expect((bm / tm) * (bn / tn)).toBeLessThanOrEqual(given.maxComputeInvocationsPerWorkgroup);
        expect(16 * bk * (bm / 4 + 1 + bn / 4 + 1)).toBeLessThanOrEqual(given.maxComputeWorkgroupStorageSize);
      }
    }
  }
});

test('without time only the usual tile of each kind is looked at, and kept where it is right', async () => {
  const { device } = gpu;
  const create = device.createShaderModule;
  const codes: string[] = [];
  device.createShaderModule = (descriptor) => {
    codes.push(descriptor.code);
    // The first kernel with tiles, after the one without: it adds up fewer values of k than it should.
    const code =
      codes.length === 2 ? descriptor.code.replace(/const UNROLL = \d+u;/, 'const UNROLL = 1u;') : descriptor.code;
    return create.call(device, { ...descriptor, code });
  };
  const told: number[] = [];
  const race = await raceTiles(gpu, { shape: SHAPE, budget: 0, onProgress: (done) => told.push(done) });
  device.createShaderModule = create;
  expect(codes[1]).toContain('const UNROLL = ');
  for (const kind of PRODUCT_KINDS) {
    const [first, ...others] = race.times[kind]!;
    expect(others.every(({ ms }) => ms === null)).toBe(true);
    if (kind === 'forward float') {
      // Wrong, however fast it is.
      expect(first.ms).toBeNull();
      expect(race.tiles[kind]).toBeUndefined();
    } else {
      expect(first.ms).toBeGreaterThan(0);
      expect(race.tiles[kind]).toEqual(tileCandidates(device, kind)[0]);
    }
  }
  expect(told.length).toBeGreaterThanOrEqual(PRODUCT_KINDS.length);
  expect(gpu.faults).toEqual([]);
});
