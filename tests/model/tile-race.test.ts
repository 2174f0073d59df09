/** Tiles race: the fastest that is right is chosen, in the time that is given. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dawn } from '../../src/cli/dawn';
import { type Gpu, openGpu, withTier } from '../../src/gpu/device';
import { tileCandidates } from '../../src/gpu/profile';
import { productKinds, raceTiles } from '../../src/model/tile-race';

const SHAPE = { rows: 64, columns: 64, tokens: 32 };

let gpu: Gpu;
beforeAll(async () => {
  // The least that WebGPU guarantees: small tiles, which compile sooner.
  const opened = await openGpu(await dawn({ software: true }), { limits: { maxComputeWorkgroupStorageSize: 16384 } });
  // Kernels with tiles run on it as well, slowly.
  gpu = withTier({ ...opened, isSoftware: false }, 'f32');
});
afterAll(() => gpu.device.destroy());

test('candidates begin with what is used unmeasured, fit the device, and are at most four', () => {
  const { limits } = gpu.device;
  const least = { maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize: 16384 };
  for (const given of [limits, least, { ...least, maxComputeWorkgroupStorageSize: 49152 }]) {
    const device = { limits: given } as GPUDevice;
    for (const kind of productKinds(gpu)) {
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

test('what is right and compiled in time is measured and chosen; what computes something else is not', {
  timeout: 300_000,
}, async () => {
  const { device } = gpu;
  const create = device.createShaderModule;
  let spoilt = '';
  device.createShaderModule = (descriptor) => {
    let { code } = descriptor;
    // The first kernel with tiles takes away one product that it should add.
    if (!spoilt && code.includes('c0_0_0 += ')) {
      spoilt = code;
      code = code.replace('c0_0_0 += ', 'c0_0_0 -= ');
    }
    return create.call(device, { ...descriptor, code });
  };
  const told: [number, number][] = [];
  const onProgress = (done: number, total: number) => told.push([done, total]);
  const race = await raceTiles(gpu, { shape: SHAPE, most: 1, compileMs: 200_000, onProgress });
  device.createShaderModule = create;
  expect(spoilt).not.toBe('');
  for (const kind of productKinds(gpu)) {
    const [{ tile, ms }] = race.times[kind]!;
    expect(tile).toEqual(tileCandidates(device, kind)[0]);
    if (kind === 'forward float') {
      // Wrong, however fast it is.
      expect(ms).toBeNull();
      expect(race.tiles[kind]).toBeUndefined();
    } else {
      expect(ms).toBeGreaterThan(0);
      expect(race.tiles[kind]).toEqual(tile);
    }
  }
  expect(told).toEqual([1, 2, 3, 4].map((done) => [done, 4]));
  expect(gpu.faults).toEqual([]);
});

test('what is not compiled in time, or refused, takes no part', async () => {
  const { device } = gpu;
  const compile = device.createComputePipelineAsync;
  const nothing = async (compileMs: number) => {
    const { tiles, times } = await raceTiles(gpu, { shape: SHAPE, most: 1, compileMs });
    expect(tiles).toEqual({});
    for (const kind of productKinds(gpu)) expect(times[kind]).toMatchObject([{ ms: null }]);
  };
  device.createComputePipelineAsync = () => new Promise(() => {});
  await nothing(20);
  device.createComputePipelineAsync = () => Promise.reject(new Error('refused'));
  await nothing(60_000);
  device.createComputePipelineAsync = compile;
  expect(gpu.faults).toEqual([]);
});

const opened = await openGpu(await dawn({ software: true }), {
  softwareTiers: true,
  limits: { maxComputeWorkgroupStorageSize: 16384 },
});
afterAll(() => opened.device.destroy());
const why = opened.support.tiers.includes('f16') ? '' : ' (skipped: this driver has no shader-f16; lavapipe does)';

test.skipIf(why)(
  `where f16 is the fastest tier its tiles are measured first, checked and used${why}`,
  {
    timeout: 300_000,
  },
  async () => {
    const support = { ...opened.support, tiers: ['f32', 'f16'] as const, matrix: null };
    const withHalf = withTier({ ...opened, isSoftware: false, support }, 'f32', {});
    expect(productKinds(withHalf).slice(0, 2)).toEqual(['forward half', 'backward half']);
    const { device } = opened;
    const create = device.createShaderModule;
    device.createShaderModule = (descriptor) => {
      let { code } = descriptor;
      if (code.includes('enable f16;') && !code.includes('let place0')) code = code.replaceAll('fma(a', 'fma(-a');
      return create.call(device, { ...descriptor, code });
    };
    const race = await raceTiles(withHalf, { shape: SHAPE, most: 1, compileMs: 200_000, raceMs: 10 });
    device.createShaderModule = create;
    // Forward was made wrong.
    expect(race.times['forward half']).toMatchObject([{ ms: null }]);
    expect(race.tiles['forward half']).toBeUndefined();
    const [tile] = tileCandidates(device, 'backward half');
    expect(race.tiles['backward half']).toEqual(tile);
    expect(withTier(withHalf, 'f16', race.tiles).profile.tuned?.['backward half']).toEqual(tile);
    expect(opened.faults).toEqual([]);
  },
);
