/** Matrix products in every weight format and both directions: the square one, and those of Llama-3.2-1B. */
import { usesHalf } from '../../gpu/profile';
import { productDifferences } from '../product-check';
import { type ProductCase, productError, productTimes, tileName } from '../products';
import type { Section } from '../section';

const FORMATS = ['F32', 'BF16', 'NF4'] as const;
const DIRECTIONS = ['forward', 'backward'] as const;
/** [out, in] of Llama-3.2-1B's linear layers. */
const SHAPES = [
  [2048, 2048],
  [512, 2048],
  [8192, 2048],
  [2048, 8192],
] as const;

export const products: Section = async ({ gpu, bench, quick, secondsLeft, print, show, report, save }) => {
  const { profile } = gpu;
  const tuned = Object.entries(profile.tuned ?? {}).map(([kind, tile]) => `; ${kind} ${tileName(tile)}`);
  print(`tiles: ${tileName(profile.large)}${tuned.join('')}`);
  const size = quick ? 2048 : 4096;
  const own = [['', profile]] as const;
  const errors: { name: string; error: number }[] = usesHalf(profile) ? await productDifferences(bench, profile) : [];
  for (const { name, error } of errors) print(`  ${name}: ${error.toExponential(1)} of the largest value from f32`);
  const wrong = errors.find(({ error }) => !(error < 2e-3));
  if (wrong) throw new Error(`${wrong.name} is off by ${wrong.error} of the largest value`);
  report.errors = errors;
  for (const format of FORMATS) {
    for (const direction of DIRECTIONS) {
      if (secondsLeft() < 2) return;
      const c: ProductCase = { direction, format, tokens: size, rows: size, columns: size };
      const error = await productError(bench, { ...c, tokens: 1024 }, profile);
      errors.push({ name: `${direction} ${format}`, error });
      if (!(error < (usesHalf(profile) ? 2e-3 : 1e-5)))
        throw new Error(`${direction} ${format} is off by ${error} of the largest value`);
      show(await productTimes(bench, 'square', [c], own));
      await save();
    }
  }
  for (const tokens of quick ? [1024] : [1024, 2048, 4096]) {
    if (secondsLeft() < 8) return;
    const cases = SHAPES.flatMap(([rows, columns]) =>
      DIRECTIONS.map((direction): ProductCase => ({ direction, format: 'NF4', tokens, rows, columns })),
    );
    show(await productTimes(bench, 'Llama-3.2-1B', cases, own, 10));
  }
  const { large, tuned: best, tall, wide } = profile;
  report.tiles = { large, tuned: best, tall, wide };
};
