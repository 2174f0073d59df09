/** Matrix products: the square one that everybody quotes, the shapes of a model, and the narrow ones of LoRA. */
import { type KernelProfile, type MatmulTile, usesHalf } from '../gpu/profile';
import { expandsNf4 } from '../ops/expand-choice';
import { ExpandedWeight } from '../ops/expanded-weight';
import { factorValues, HalfOperands, halfValues } from '../ops/half';
import { MatmulOps, type ProductMeans } from '../ops/matmul';
import type { Weight, WeightFormat } from '../ops/weight';
import { type Bench, type Measurement, measure, measureOnGpu, type Work, worstDifference } from './harness';
import { randomMatrix } from './synthetic';

export type Direction = 'forward' | 'backward';

export interface ProductCase {
  direction: Direction;
  /** Tokens; rows and columns of the weight. */
  tokens: number;
  rows: number;
  columns: number;
  format: WeightFormat;
}

export const tileName = ({ bm, bn, bk, tm, tn, unroll = bk }: MatmulTile) => `${bm}x${bn}x${bk} ${tm}x${tn} u${unroll}`;

/** Times cases in turn, each with every profile. */
export async function productTimes(
  bench: Bench,
  group: string,
  cases: readonly ProductCase[],
  profiles: readonly (readonly [string, KernelProfile])[],
  batchMs?: number,
): Promise<Measurement[]> {
  const results: Measurement[] = [];
  for (const c of cases) {
    const { weight, memory } = await randomMatrix(bench.cmd.device, c.rows, c.columns, c.format);
    const x = bench.floats(c.tokens * c.columns);
    const y = bench.floats(c.tokens * c.rows);
    const works = profiles.flatMap(([label, profile]): Work[] => {
      const name = `${c.direction} ${c.format} ${c.tokens} x ${c.columns} -> ${c.rows}${label && ` ${label}`}`;
      const work = { group, name, flops: 2 * c.tokens * c.rows * c.columns };
      const scratch = operands(bench, profile, c);
      const whole = { ...work, record: () => product(bench, profile, c, weight, x, y, scratch) };
      if (!scratch.half) return [whole];
      // Both operands are f16 already: the product alone. Then with what makes them so.
      return [
        { ...work, name: `${name} from f16`, record: () => product(bench, profile, c, weight, x, y, scratch, true) },
        { ...whole, name: `${name} with its conversions` },
      ];
    });
    const timed = works.length > profiles.length ? measureOnGpu : measure;
    results.push(...(await timed(bench.cmd, works, batchMs)));
    await bench.cmd.finish();
    memory.destroy();
    bench.destroy();
  }
  return results;
}

type Buffer = ReturnType<Bench['floats']>;

type Scratch = Pick<ProductMeans, 'half' | 'expanded'>;

/** Room for f16 operands, in tiers that have such; in f32 for a weight of NF4. */
function operands(bench: Bench, profile: KernelProfile, c: ProductCase): Scratch {
  if (!usesHalf(profile)) {
    if (!expandsNf4(profile, c, c.tokens)) return {};
    return { expanded: new ExpandedWeight(bench.cmd, 'f32', bench.buffer(4 * c.rows * c.columns)) };
  }
  const half = new HalfOperands(bench.cmd, profile, {
    x: bench.buffer(2 * halfValues(profile, c.tokens, Math.max(c.rows, c.columns))),
    factors: bench.buffer(4 * factorValues(profile, c.tokens, Math.max(c.rows, c.columns))),
    w: bench.buffer(2 * halfValues(profile, c.rows, c.columns)),
  });
  return { half };
}

/** @param ready rows and weight are in scratch as f16 from the last call */
function product(
  bench: Bench,
  profile: KernelProfile,
  c: ProductCase,
  weight: Weight,
  x: Buffer,
  y: Buffer,
  scratch: Scratch,
  ready = false,
): void {
  const { half, expanded } = scratch;
  const ops = new MatmulOps(bench.cmd, profile, scratch);
  const rowsX = { view: x, ld: c.columns };
  const rowsY = { view: y, ld: c.rows };
  const [from, to] = c.direction === 'forward' ? [rowsX, rowsY] : [rowsY, rowsX];
  if (!ready) half?.w.forget();
  expanded?.forget();
  const options = ready && half ? { half: half.last } : {};
  if (c.direction === 'forward') ops.forward(weight, c.tokens, from, to, options);
  else ops.backward(weight, c.tokens, from, to, options);
}

/** Largest difference from the kernel without tiles, over the largest value. */
export async function productError(bench: Bench, c: ProductCase, profile: KernelProfile): Promise<number> {
  const { weight, memory } = await randomMatrix(bench.cmd.device, c.rows, c.columns, c.format);
  const [inputs, outputs] = c.direction === 'forward' ? [c.columns, c.rows] : [c.rows, c.columns];
  const from = bench.floats(c.tokens * inputs);
  const direct = { bm: 16, bn: 16, bk: 16, tm: 4, tn: 4 };
  const values: Float32Array[] = [];
  for (const p of [
    profile,
    {
      ...profile,
      direct: true,
      large: direct,
      tuned: undefined,
      small: direct,
      matrix: undefined,
      floatMatrix: undefined,
      half: undefined,
    },
  ]) {
    const to = bench.floats(c.tokens * outputs);
    const [x, y] = c.direction === 'forward' ? [from, to] : [to, from];
    product(bench, p, c, weight, x, y, operands(bench, p, c));
    values.push(new Float32Array(await bench.cmd.read(to, c.tokens * outputs * 4)));
  }
  memory.destroy();
  bench.destroy();
  return worstDifference(values[0], values[1]);
}
