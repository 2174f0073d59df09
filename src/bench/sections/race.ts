/** Tile shapes of the large products against each other: what src/gpu/profile.ts chooses from. */
import type { KernelProfile, MatmulTile } from '../../gpu/profile';
import { type ProductCase, productError, productTimes, tileName } from '../products';
import type { Section } from '../section';

const T = (bm: number, bn: number, bk: number, tm: number, tn: number, more: Partial<MatmulTile> = {}): MatmulTile => ({
  bm,
  bn,
  bk,
  tm,
  tn,
  ...more,
});

const TILES: MatmulTile[] = [
  T(128, 128, 16, 8, 8),
  T(128, 128, 16, 8, 8, { unroll: 8 }),
  T(128, 128, 8, 8, 8),
  T(128, 128, 32, 8, 8),
  T(128, 64, 16, 8, 8),
  T(64, 128, 16, 8, 8),
  T(64, 64, 16, 8, 8),
  T(64, 64, 16, 4, 4),
  T(128, 128, 16, 16, 8),
  T(128, 128, 16, 8, 16),
  T(256, 128, 8, 16, 8),
];

export const race: Section = async ({ gpu, bench, print, show, quick }) => {
  // For every shape this tile and no other, or its errors would be another's.
  const own = (tile: MatmulTile): KernelProfile => {
    const only = {
      large: tile,
      between: tile,
      medium: tile,
      small: tile,
      tuned: undefined,
      tall: undefined,
      wide: undefined,
    };
    return { ...gpu.profile, direct: false, ...only };
  };
  const tiles = quick ? [T(32, 32, 16, 4, 4), T(64, 64, 8, 8, 4)] : TILES;
  const size = quick ? 256 : 4096;
  for (const format of ['F32', 'NF4'] as const) {
    for (const direction of ['forward', 'backward'] as const) {
      const c: ProductCase = { direction, format, tokens: size, rows: size, columns: size };
      const good: [string, KernelProfile][] = [];
      for (const tile of tiles) {
        try {
          const error = await productError(
            bench,
            { ...c, tokens: quick ? 256 : 2048, rows: size, columns: size },
            own(tile),
          );
          if (error < 1e-5) good.push([tileName(tile), own(tile)]);
          else print(`${tileName(tile)} ${format} ${direction}: off by ${error}`);
        } catch (error) {
          print(`${tileName(tile)} ${format} ${direction}: ${(error as Error).message}`);
        }
      }
      if (!quick) show(await productTimes(bench, 'race', [c], good));
      else print(`${format} ${direction}: ${good.length} of ${tiles.length} right`);
    }
  }
};
