/** What the page finds out about a GPU at its first visit: the fastest tiles, and how each tier compares with f32. */
import { withTier } from '../../gpu/device';
import type { ProductKind } from '../../gpu/profile';
import { raceTiles, type TileRace } from '../../model/tile-race';
import { checkTier } from '../../train/tier-check';
import { tileName } from '../products';
import type { Section } from '../section';

export const fit: Section = async ({ gpu, print, report }) => {
  if (gpu.isSoftware) {
    print('fit: left out, this is no GPU');
    return;
  }
  const tell = (race: TileRace) => {
    for (const [kind, times] of Object.entries(race.times)) {
      const chosen = race.tiles[kind as ProductKind];
      const all = times.map(
        ({ tile, ms }) => `${tile === chosen ? '*' : ''}${tileName(tile)} ${ms?.toFixed(3) ?? '-'}`,
      );
      print(`  ${kind}: ${all.join(', ')} ms`);
    }
  };
  const plain = withTier(gpu, 'f32', {});
  const race = await raceTiles(plain);
  print(`fit: tiles chosen in ${race.milliseconds.toFixed(0)} ms`);
  tell(race);
  const unhurried = await raceTiles(plain, { compileMs: 20_000, raceMs: 2000 });
  print(`  without hurry, in ${unhurried.milliseconds.toFixed(0)} ms`);
  tell(unhurried);
  const checks = [];
  for (const tier of gpu.support.tiers) {
    const began = performance.now();
    const check = await checkTier(withTier(gpu, tier, race.tiles));
    const milliseconds = performance.now() - began;
    checks.push({ ...check, milliseconds });
    print(
      `  ${tier} ${check.passed ? 'passes' : 'is refused'} after ${milliseconds.toFixed(0)} ms: ` +
        (check.problem ??
          `loss ${check.loss?.toExponential(1)}, gradients ${check.gradients?.toExponential(1)} from f32`),
    );
  }
  report.fit = { race, unhurried, checks };
};
