/** Which tier is computed in: what is wanted, what proves right, what is remembered, and whose turn it is meanwhile. */
import { IDBFactory } from 'fake-indexeddb';
import 'fake-indexeddb/auto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { dawn } from '../../src/cli/dawn';
import { type Gpu, openGpu } from '../../src/gpu/device';
import { GpuError } from '../../src/gpu/errors';
import type { MatmulTile } from '../../src/gpu/profile';
import { TIERS, type Tier } from '../../src/gpu/tiers';
import type { TileRace } from '../../src/model/tile-race';
import { StorageNotes } from '../../src/storage/notes';
import type { TierCheck } from '../../src/train/tier-check';
import { GpuDesk, type GpuMeans } from '../../src/worker/gpu-desk';
import { GpuTurn } from '../../src/worker/gpu-turn';
import type { DeviceInfo } from '../../src/worker/protocol';

/** A device with every tier, as far as the desk can tell. */
let gpu: Gpu;
beforeAll(async () => {
  const opened = await openGpu(await dawn({ software: true }));
  const matrix = { spelling: 'template', subgroup: 32 } as const;
  gpu = { ...opened, isSoftware: false, support: { tiers: TIERS, matrix, missing: {} } };
});
afterAll(() => gpu.device.destroy());
beforeEach(() => {
  globalThis.indexedDB = new IDBFactory();
});

const right = (tier: Tier): TierCheck => ({ tier, passed: true, loss: 1e-4, gradients: 1e-3, problem: null });
const wrong = (tier: Tier): TierCheck => ({ tier, passed: false, loss: 0.4, gradients: 2, problem: 'it differs' });

interface Setup {
  check?: (gpu: Gpu) => Promise<TierCheck>;
  race?: GpuMeans['race'];
  version?: string;
  api?: Gpu;
}

const TILE: MatmulTile = { bm: 64, bn: 64, bk: 16, tm: 4, tn: 4 };
const raced: TileRace = { tiles: { 'forward NF4': TILE }, times: {}, milliseconds: 900 };

function desk(setup: Setup = {}) {
  const {
    check = async ({ profile }) => right(profile.tier),
    race = async () => raced,
    version = '1',
    api = gpu,
  } = setup;
  const turn = new GpuTurn();
  const infos: DeviceInfo[] = [];
  const used: Tier[] = [];
  const checked: Tier[] = [];
  const lost: string[] = [];
  const made = new GpuDesk(
    {
      api: undefined,
      notes: new StorageNotes(),
      version,
      turn,
      onChange: ({ profile }) => used.push(profile.tier),
      onInfo: (info) => infos.push(info),
      onLost: (message) => lost.push(message),
    },
    {
      open: async () => api,
      check: (gpu) => {
        checked.push(gpu.profile.tier);
        return check(gpu);
      },
      race,
    },
  );
  return { desk: made, turn, infos, used, checked, lost };
}

/** Waits until nothing readies the GPU any more. */
const settled = ({ turn }: ReturnType<typeof desk>) => turn.take('load', async () => undefined);

describe('the tier', () => {
  test('is the fastest that the device has, once a step in it was compared; nothing takes the GPU before', async () => {
    const order: string[] = [];
    const d = desk({
      check: async ({ profile }) => {
        await new Promise((done) => setTimeout(done, 20));
        order.push('checked');
        return right(profile.tier);
      },
    });
    expect(await d.desk.open()).toMatchObject({ tier: 'f32', activity: expect.any(String) });
    await d.turn.take('load', async () => order.push('loading'));
    expect(order).toEqual(['checked', 'loading']);
    const told = ['Measuring this GPU', 'Checking subgroup-matrix against f32', null];
    expect(d.infos.map(({ activity }) => activity)).toEqual(told);
    expect(d.used).toEqual(['subgroup-matrix']);
    expect(d.desk.gpu?.profile).toMatchObject({ tier: 'subgroup-matrix', matrix: { subgroup: 32 } });
    expect(d.infos.at(-1)).toMatchObject({ tier: 'subgroup-matrix', choice: 'auto', activity: null, problem: null });
  });

  test('that proves wrong is refused, and so is the next, with both findings told', async () => {
    const d = desk({ check: async ({ profile }) => wrong(profile.tier) });
    await d.desk.open();
    await settled(d);
    expect(d.checked).toEqual(['subgroup-matrix', 'f16']);
    expect(d.infos.at(-1)).toMatchObject({
      tier: 'f32',
      checks: [wrong('subgroup-matrix'), wrong('f16')],
    });
    // Asking for it by name does not make it right, nor is it looked at again.
    expect(await d.desk.handlers.setTier({ tier: 'f16' })).toMatchObject({ tier: 'f32', choice: 'f16' });
    expect(d.checked).toHaveLength(2);
  });

  test('falls back by one where only the fastest is wrong; checking again may bring it back', async () => {
    let broken = true;
    const d = desk({
      check: async ({ profile }) =>
        broken && profile.tier === 'subgroup-matrix' ? wrong(profile.tier) : right(profile.tier),
    });
    await d.desk.open();
    await settled(d);
    expect(d.infos.at(-1)?.tier).toBe('f16');
    broken = false;
    expect(await d.desk.handlers.checkTier({})).toMatchObject({ tier: 'subgroup-matrix' });
  });

  test('is remembered for the adapter, with its findings until another version of the app', async () => {
    const first = desk();
    await first.desk.open();
    await settled(first);
    await first.desk.handlers.setTier({ tier: 'f16' });
    const again = desk();
    expect(await again.desk.open()).toMatchObject({ tier: 'f16', choice: 'f16', activity: null });
    expect(again.checked).toEqual([]);
    const newer = desk({ version: '2' });
    expect(await newer.desk.open()).toMatchObject({ tier: 'f32', choice: 'f16' });
    await settled(newer);
    expect(newer.checked).toEqual(['f16']);
    const other = {
      ...gpu,
      info: { vendor: 'other', architecture: '', device: '', description: '' } as GPUAdapterInfo,
    };
    expect(await desk({ api: other }).desk.open()).toMatchObject({ choice: 'auto' });
  });

  test('that could not be looked at is left for another time, saying why', async () => {
    const full = desk({
      check: async () => {
        throw new GpuError('out-of-memory', 'The GPU has no room.');
      },
    });
    await full.desk.open();
    await settled(full);
    expect(full.infos.at(-1)).toMatchObject({
      tier: 'f32',
      checks: [],
      problem: 'subgroup-matrix could not be checked: The GPU has no room.',
    });
    const later = desk();
    await later.desk.open();
    await settled(later);
    expect(later.infos.at(-1)?.tier).toBe('subgroup-matrix');
  });

  test('f32 needs no check, and what is not there says what it needs', async () => {
    const support = { tiers: ['f32'], matrix: null, missing: { f16: 'shader-f16' } } as const;
    const d = desk({ api: { ...gpu, support } });
    expect(await d.desk.open()).toMatchObject({
      tier: 'f32',
      tiers: [
        { tier: 'f32', missing: null },
        { tier: 'f16', missing: 'shader-f16' },
        { tier: 'subgroup-matrix', missing: 'what this device lacks' },
      ],
    });
    await settled(d);
    expect(d.checked).toEqual([]);
    expect(d.used).toEqual(['f32']);
  });

  test('is not changed while the GPU is in use', async () => {
    const d = desk();
    await d.desk.open();
    await settled(d);
    const BUSY = { code: 'busy' };
    await d.turn.take('run', async () => {
      await expect(d.desk.handlers.setTier({ tier: 'f32' })).rejects.toMatchObject(BUSY);
    });
    await d.turn.borrow(false, async () => {
      await expect(d.desk.handlers.checkTier({})).rejects.toMatchObject(BUSY);
    });
    expect(d.desk.gpu?.profile.tier).toBe('subgroup-matrix');
    expect(await d.desk.handlers.setTier({ tier: 'f32' })).toMatchObject({ tier: 'f32' });
  });
});

describe('the tiles', () => {
  test('that were fastest are used and remembered, measured once, with progress', async () => {
    let races = 0;
    const race: GpuMeans['race'] = async ({ profile }, onProgress) => {
      races++;
      expect(profile.tier).toBe('f32');
      onProgress(3, 16);
      return raced;
    };
    const first = desk({ race });
    await first.desk.open();
    await settled(first);
    expect(first.infos.map(({ activity }) => activity)).toContain('Measuring this GPU, 3 of 16');
    expect(first.infos.at(-1)).toMatchObject({ measuredMs: 900 });
    expect(first.desk.gpu?.profile.tuned?.['forward NF4']).toEqual(TILE);
    // There too: products of f16 operands are a kind of their own.
    await first.desk.handlers.setTier({ tier: 'f16' });
    expect(first.desk.gpu?.profile.tuned).toEqual(raced.tiles);
    const again = desk({ race });
    await again.desk.open();
    await again.desk.handlers.setTier({ tier: 'f32' });
    expect(again.desk.gpu?.profile.tuned?.['forward NF4']).toEqual(TILE);
    expect(races).toBe(1);
    await again.desk.handlers.checkTier({});
    expect(races).toBe(2);
  });

  test('stay the usual ones where there is no room to measure, and on a software adapter', async () => {
    const race = async () => {
      throw new GpuError('out-of-memory', 'full');
    };
    const full = desk({ race });
    await full.desk.open();
    await settled(full);
    expect(full.infos.at(-1)).toMatchObject({ tier: 'subgroup-matrix', measuredMs: null, problem: null });
    const support = { tiers: ['f32'], matrix: null, missing: {} } as const;
    const software = desk({ race: async () => expect.unreachable(), api: { ...gpu, isSoftware: true, support } });
    expect(await software.desk.open()).toMatchObject({ measuredMs: null, activity: null });
  });
});

test('a device that is lost is told once, and opened anew by the next request', async () => {
  let lose = (_: string) => {};
  const lost = new Promise<string>((done) => {
    lose = done;
  });
  const api = { ...gpu, lost };
  const d = desk({ api });
  await d.desk.open();
  await settled(d);
  lose('gone');
  await expect.poll(() => d.lost).toEqual(['gone']);
  expect(d.desk.gpu).toBeNull();
  api.lost = new Promise(() => {});
  await d.desk.open();
  // What was found out before still holds.
  expect(d.desk.gpu?.profile.tier).toBe('subgroup-matrix');
  expect(d.checked).toHaveLength(1);
  expect(d.lost).toEqual(['gone']);
});
