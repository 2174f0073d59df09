/** Products in a fast tier beside the same in f32, on this device: edges, low-rank parts and every addition. */
import type { View } from '../gpu/commands';
import { Listing } from '../gpu/listing';
import type { Memory } from '../gpu/memory';
import type { KernelProfile } from '../gpu/profile';
import { factorValues, HalfOperands, halfValues } from '../ops/half';
import { MatmulOps } from '../ops/matmul';
import type { ProductOptions } from '../ops/product';
import { PARTIAL_VALUES } from '../ops/tile-choice';
import { Bench, worstDifference } from './harness';
import type { Direction } from './products';
import { randomMatrix } from './synthetic';

interface CheckCase {
  direction: Direction;
  tokens: number;
  rows: number;
  columns: number;
  rank?: number;
  residual?: boolean;
  accumulate?: boolean;
  columnScale?: boolean;
  alpha?: number;
  /** K may be split. */
  split?: boolean;
}

const CASES: readonly CheckCase[] = (['forward', 'backward'] as const).flatMap((direction): CheckCase[] => [
  { direction, tokens: 1022, rows: 1024, columns: 512 },
  { direction, tokens: 1022, rows: 512, columns: 1024, rank: 16, residual: true },
  { direction, tokens: 300, rows: 544, columns: 608, rank: 20, accumulate: true },
  { direction, tokens: 70, rows: 512, columns: 576, rank: 16, columnScale: true },
  { direction, tokens: 129, rows: 640, columns: 640, residual: true, accumulate: true },
  { direction, tokens: 256, rows: 2048, columns: 2048, rank: 16, residual: true, split: true },
  { direction, tokens: 40, rows: 2048, columns: 1056, alpha: 0.25, split: true },
]);

interface Recorded {
  /** A product's results in each profile, and a row of what was there before. */
  to: View[];
  values: number;
  memory: Memory;
}

/** Records the same product in several profiles. */
async function record(bench: Bench, c: CheckCase, profiles: readonly KernelProfile[]): Promise<Recorded> {
  const { direction, tokens, rows, columns, rank, alpha, accumulate } = c;
  const { weight, memory } = await randomMatrix(bench.cmd.device, rows, columns, 'NF4');
  const [inputs, outputs] = direction === 'forward' ? [columns, rows] : [rows, columns];
  const from = { view: bench.floats(tokens * inputs), ld: inputs };
  const options: ProductOptions = { alpha, accumulate };
  if (rank) {
    const u = { view: bench.floats(tokens * rank), ld: rank };
    options.lora = { u, v: { view: bench.floats(outputs * rank), ld: direction === 'forward' ? rank : outputs }, rank };
  }
  if (c.residual) options.residual = { view: bench.floats(tokens * outputs), ld: outputs };
  if (c.columnScale) options.columnScale = { view: bench.floats(outputs), offset: 0 };
  const partials = c.split ? { buffer: bench.buffer(4 * PARTIAL_VALUES) } : undefined;
  const values = (tokens + 1) * outputs;
  const to = profiles.map((profile) => {
    const half = new HalfOperands(bench.cmd, profile, {
      x: bench.buffer(2 * halfValues(profile, tokens, inputs)),
      factors: bench.buffer(4 * factorValues(profile, tokens, inputs)),
      w: bench.buffer(2 * halfValues(profile, rows, columns)),
    });
    const ops = new MatmulOps(bench.cmd, profile, { partials, half });
    // What lies there already is added to, and a row more shows whether anything is written beyond the last.
    const y = { view: bench.floats(values), ld: outputs };
    ops[direction](weight, tokens, from, y, options);
    return y.view;
  });
  return { to, values, memory };
}

/** The largest difference of each case from the same product in f32, over its largest value. */
export async function productDifferences(
  bench: Bench,
  profile: KernelProfile,
): Promise<{ name: string; error: number }[]> {
  const profiles = [
    profile,
    { ...profile, tier: 'f32', matrix: undefined, floatMatrix: undefined, half: undefined } as const,
  ];
  const listing = new Listing(bench.cmd.device);
  for (const c of CASES) await record(new Bench(listing), c, profiles);
  await bench.cmd.kernels.prepare([...listing.specs.values()]);
  const differences = [];
  for (const c of CASES) {
    const { to, values, memory } = await record(bench, c, profiles);
    const [actual, expected] = await Promise.all(
      to.map(async (view) => new Float32Array(await bench.cmd.read(view, 4 * values))),
    );
    const last = (values / (c.tokens + 1)) * c.tokens;
    const beyond = worstDifference(actual.subarray(last), expected.subarray(last));
    const error = Math.max(beyond, worstDifference(actual.subarray(0, last), expected.subarray(0, last)));
    differences.push({ name: JSON.stringify(c).replace(/[{}"]/g, ''), error });
    memory.destroy();
    bench.destroy();
  }
  return differences;
}
