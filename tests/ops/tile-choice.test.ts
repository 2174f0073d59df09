/** Which tile a product gets, and in how many parts. */
import { describe, expect, test } from 'vitest';
import { type MatmulTile, profileFor } from '../../src/gpu/profile';
import {
  chooseHalfTile,
  chooseTile,
  PARTIAL_VALUES,
  type ProductSize,
  productTime,
  splitParts,
} from '../../src/ops/tile-choice';

const sized = (m: number, n: number, k: number): ProductSize => ({ m, n, k, format: 'NF4', direction: 'forward' });

describe('the choice of a tile', () => {
  const limits = { maxComputeInvocationsPerWorkgroup: 1024, maxComputeWorkgroupStorageSize: 49152 };
  const profile = profileFor({ limits } as GPUDevice, false);
  const choose = (m: number, n: number, k: number) => chooseTile(profile, sized(m, n, k), true);

  test('large tiles where they fill a GPU, split or not; narrow ones for narrow results', () => {
    expect(choose(2048, 2048, 2048)).toEqual({ tile: profile.large, splits: 1 });
    expect(choose(256, 2048, 8192)).toEqual({ tile: profile.large, splits: 8 });
    expect(choose(190, 8192, 2048).tile).toBe(profile.between);
    expect(choose(64, 512, 2048).tile).toBe(profile.medium);
    expect(choose(2048, 16, 2048).tile).toBe(profile.tall);
    expect(choose(48, 2048, 2048).tile).toBe(profile.wide);
    expect(choose(32, 128256, 2048).tile).toBe(profile.wide);
    expect(chooseTile(profile, sized(8, 40, 64), true).tile).toBe(profile.small);
  });

  describe('with f16 operands', () => {
    const tiles = profileFor({ limits } as GPUDevice, false, 'f16').half!;
    const [large, broad, small] = tiles;
    const half = (m: number, n: number, k: number, tuned = {}, maySplit = true) =>
      chooseHalfTile(tiles, { tuned }, sized(m, n, k), maySplit);

    test('is large, in parts where it would leave a part of a GPU idle, small where that may not be', () => {
      expect(half(4096, 4096, 4096)).toEqual({ tile: large, splits: 1 });
      expect(half(512, 2048, 8192)).toEqual({ tile: large, splits: 2 });
      expect(half(256, 2048, 8192)).toEqual({ tile: large, splits: 4 });
      expect(half(1536, 2048, 16384)).toEqual({ tile: large, splits: 1 });
      expect(half(256, 2048, 2048, {}, false).tile).toBe(small);
      expect(half(4096, 4096, 4096, { 'forward half': broad, 'backward half': small }).tile).toBe(broad);
      // No device need have more than this.
      const least = { maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize: 16384 };
      expect(profileFor({ limits: least } as GPUDevice, false, 'f16').half).toEqual([broad, small]);
    });

    test('is estimated within a tenth of what an H100 took', () => {
      // Microseconds: rows, columns, values of k, parts.
      const measured: [MatmulTile, number, number, number, number, number][] = [
        [large, 1001, 2048, 8192, 1, 495],
        [large, 512, 2048, 8192, 2, 266],
        [large, 512, 2048, 8192, 4, 278],
        [large, 128, 2048, 8192, 8, 83],
        [large, 1431, 2048, 8192, 1, 983],
        [large, 1806, 8192, 2048, 1, 910],
        [large, 256, 8192, 2048, 1, 128],
        [broad, 1001, 2048, 8192, 1, 565],
        [broad, 1431, 2048, 8192, 1, 1123],
        [small, 1001, 2048, 8192, 1, 557],
        [small, 1431, 2048, 8192, 1, 1098],
        [small, 512, 2048, 8192, 1, 431],
        [small, 256, 8192, 2048, 1, 151],
      ];
      for (const [tile, m, n, k, splits, us] of measured) {
        const time = productTime(tile, { ...sized(m, n, k), half: true }, splits);
        expect(Math.abs(time / us - 1), `${tile.bm}x${tile.bn}: ${m} ${n} ${k}`).toBeLessThan(0.1);
      }
    });
  });

  test('of f32 weights what an H100 made soonest, or nearly', () => {
    const float = (m: number, n: number, k: number) => chooseTile(profile, { ...sized(m, n, k), format: 'F32' }, true);
    // 1,462 us rather than 1,779 in tiles of 64 x 64.
    expect(float(1806, 2048, 8192)).toEqual({ tile: profile.large, splits: 1 });
    // 1,188 rather than 1,461 in tiles of 128 x 128.
    expect(float(1431, 2048, 8192)).toEqual({ tile: profile.between, splits: 1 });
    // 1,105 rather than 1,124 in tiles of 64 x 128.
    expect(float(1158, 8192, 2048)).toEqual({ tile: profile.large, splits: 1 });
  });

  test('no choice on offer is estimated faster than the one taken', () => {
    for (const m of [17, 130, 256, 700, 1900]) {
      for (const [n, k] of [
        [512, 2048],
        [2048, 8192],
        [8192, 2048],
      ]) {
        const size = sized(m, n, k);
        const { tile, splits } = chooseTile(profile, size, true);
        const time = productTime(tile, size, splits);
        const others = m > 48 ? [profile.large, profile.between!, profile.medium!, profile.small] : [profile.wide!];
        for (const other of others) {
          for (const s of [1, 2, 4, 8, 16]) {
            if (s * m * n <= PARTIAL_VALUES && k / s >= 128) {
              expect(time).toBeLessThanOrEqual(productTime(other, size, s));
            }
          }
        }
      }
    }
  });

  test('the estimate is within a fifth of what an H100 took', () => {
    // Microseconds, NF4 forward, on an NVIDIA H100: rows, columns, values of k.
    const measured: [MatmulTile, [number, number, number, number][]][] = [
      [
        profile.large,
        [
          [256, 8192, 2048, 258],
          [768, 8192, 2048, 649],
          [1500, 2048, 8192, 1618],
          [1024, 2048, 2048, 252],
          [2048, 2048, 2048, 432],
          [2048, 8192, 2048, 1627],
          [512, 512, 2048, 252],
        ],
      ],
      [
        profile.between!,
        [
          [512, 2048, 2048, 171],
          [1024, 8192, 2048, 891],
          [2048, 2048, 8192, 1853],
        ],
      ],
      [
        profile.medium!,
        [
          [256, 8192, 2048, 252],
          [768, 2048, 2048, 245],
          [1024, 2048, 8192, 966],
          [1500, 8192, 2048, 1356],
        ],
      ],
    ];
    for (const [tile, times] of measured) {
      for (const [m, n, k, us] of times) {
        const time = productTime(tile, sized(m, n, k), 1);
        expect(Math.abs(time / us - 1), `${tile.bm}x${tile.bn}: ${m} ${n} ${k}`).toBeLessThan(0.2);
      }
    }
  });

  test('parts cover K without an empty one and stay in their room', () => {
    for (let m = 1; m < 3000; m = Math.ceil(m * 1.7)) {
      for (const k of [64, 300, 2048, 8192, 11008]) {
        const { tile, splits } = choose(m, 4096, k);
        const { parts, tiles } = splitParts(tile.bk, k, splits);
        expect(parts * tiles * tile.bk).toBeGreaterThanOrEqual(k);
        expect((parts - 1) * tiles * tile.bk).toBeLessThan(k);
        if (parts > 1) expect(parts * m * 4096).toBeLessThanOrEqual(PARTIAL_VALUES);
      }
    }
  });
});
