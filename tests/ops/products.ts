/** Matrix products as their tests state them: operands on the GPU with the exact result and what its errors scale with. */
import { expect } from 'vitest';
import type { KernelProfile } from '../../src/gpu/profile';
import { MatmulOps } from '../../src/ops/matmul';
import type { ProductOptions, Rows } from '../../src/ops/product';
import { PARTIAL_VALUES } from '../../src/ops/tile-choice';
import type { Weight, WeightFormat } from '../../src/ops/weight';
import { linear, linearBackwardInput } from '../reference/linear';
import type { Rng } from '../reference/rng';
import { upload } from '../support/gpu';
import { abs, cmd, device, EPS, expectWithin, input, output, randomWeight, read, readRoundings, run } from './support';

/** A product with a weight [rows, columns], and everything that may ride in its epilogue. */
export interface Case {
  direction: 'forward' | 'backward';
  tokens: number;
  rows: number;
  columns: number;
  format: WeightFormat;
  nested?: boolean;
  /** LoRA of this rank, padded with zeros to a multiple of 4. */
  rank?: number;
  residual?: boolean;
  accumulate?: boolean;
  columnScale?: boolean;
  alpha?: number;
  bindingLimit?: number;
  /** The weight's rows that take part. */
  range?: [number, number];
  /** Offers room for partial results. */
  split?: boolean;
  /** Powers of ten that X's blocks of 16 rows are spread over: those share a factor as f16. */
  spread?: number;
}

/** A title and a case, for test.each. */
export const titled = (cases: Case[]) =>
  cases.map(
    ({ direction, ...rest }) =>
      [
        `${direction} ${JSON.stringify(rest).replace(/[{}"]/g, '').replaceAll(',', ', ')}`,
        { direction, ...rest },
      ] as const,
  );

/** [tokens, width] inside rows of `ld` values, `offset` before the first; what lies around is NaN. */
export function embed(values: Float64Array, tokens: number, width: number, ld: number, offset: number): Rows {
  const all = new Float32Array(offset + tokens * ld).fill(Number.NaN);
  for (let t = 0; t < tokens; t++) all.set(values.subarray(t * width, (t + 1) * width), offset + t * ld);
  return { view: { buffer: upload(device, all) }, ld, offset };
}

/** The next multiple of 4, in which a row starts. */
const whole = (width: number) => Math.ceil(width / 4) * 4;

/** Columns of each row padded with zeros to a width. */
function padColumns(values: Float64Array, rows: number, from: number, to: number): Float64Array {
  const out = new Float64Array(rows * to);
  for (let r = 0; r < rows; r++) out.set(values.subarray(r * from, (r + 1) * from), r * to);
  return out;
}

const squares = (values: Float64Array) => values.map((v) => v * v);

/** Rows of normals, 16 of one size where `spread` asks so. */
function randomRows(rng: Rng, tokens: number, width: number, spread = 0): Float64Array {
  const x = rng.normals(tokens * width);
  if (spread === 0) return x;
  const sizes = Array.from({ length: Math.ceil(tokens / 16) }, () => 10 ** (spread * (rng.uniform() - 0.5)));
  return x.map((v, i) => v * sizes[Math.floor(i / width / 16)]);
}

/** What a product should give. */
interface Exact {
  /** [tokens, outWidth] */
  expected: Float64Array;
  /** Absolute values of the terms of each element's product and LoRA part, summed. */
  terms: Float64Array;
  /** Squares of the same terms, summed. */
  squares: Float64Array;
  /** Absolute values of what is added to them: the residual, the old value. */
  added: Float64Array;
  /** Terms of an element's product, those of its LoRA part left out. */
  inWidth: number;
  /** The expectation had the used rows of the weight been others, `values` [rows, columns]. */
  withWeight(values: Float64Array): Float64Array;
}

/** A product's operands on the GPU, and its result before it is made. */
export interface Product extends Exact {
  weight: Weight;
  /** The weight's values that take part, [rows, columns]. */
  values: Float64Array;
  x: Rows;
  /** Starts at `offset`; what no result belongs in is NaN. */
  y: Rows & { offset: number };
  options: ProductOptions;
  outWidth: number;
}

/** Random operands of a product, X, U, residual and Y inside wider rows with NaN between them. */
export function makeProduct(c: Case, rng: Rng): Product {
  const { tokens, rank = 0, alpha = 1 } = c;
  const { weight, values: all } = randomWeight(rng, c.rows, c.columns, c);
  const forward = c.direction === 'forward';
  const [first, last] = c.range ?? [0, c.rows];
  const values = all.subarray(first * c.columns, last * c.columns);
  const dims = { tokens, inFeatures: c.columns, outFeatures: last - first };
  const [inWidth, outWidth] = forward ? [c.columns, last - first] : [last - first, c.columns];
  const apply = forward ? linear : linearBackwardInput;

  const x = randomRows(rng, tokens, inWidth, c.spread);
  const product = apply(x, values, dims);
  const expected = product.map((v) => alpha * v);
  const terms = apply(abs(x), abs(values), dims).map((v) => Math.abs(alpha) * v);
  const variance = apply(squares(x), squares(values), dims).map((v) => alpha * alpha * v);
  const added = new Float64Array(tokens * outWidth);
  const options: ProductOptions = { alpha, accumulate: c.accumulate };
  if (rank > 0) {
    const padded = whole(rank);
    const u = rng.normals(tokens * rank);
    const v = rng.normals(outWidth * rank, 0.5);
    const lora = { tokens, inFeatures: rank, outFeatures: outWidth };
    // Forward V is B [out, rank]; backward it is A [rank, in], the transpose of what `linear` takes.
    add(expected, linear(u, v, lora));
    add(terms, linear(abs(u), abs(v), lora));
    add(variance, linear(squares(u), squares(v), lora));
    const ahead = 4;
    const stored = new Float64Array(ahead + outWidth * padded);
    if (forward) stored.set(padColumns(v, outWidth, rank, padded), ahead);
    else
      for (let o = 0; o < outWidth; o++)
        for (let k = 0; k < rank; k++) stored[ahead + k * outWidth + o] = v[o * rank + k];
    options.lora = {
      u: embed(padColumns(u, tokens, rank, padded), tokens, padded, padded + 8, 4),
      v: { view: input(stored), ld: forward ? padded : outWidth, offset: ahead },
      rank: padded,
    };
  }
  const columns = new Float64Array(outWidth).fill(1);
  if (c.columnScale) {
    columns.set(rng.normals(outWidth));
    options.columnScale = { view: input(Float64Array.of(0, 0, 0, 0, ...columns)), offset: 4 };
    for (let i = 0; i < expected.length; i++) {
      const scale = columns[i % outWidth];
      expected[i] *= scale;
      terms[i] *= Math.abs(scale);
      variance[i] *= scale ** 2;
    }
  }
  const ld = whole(outWidth) + 4;
  const offset = 8;
  const addIn = () => {
    const more = rng.normals(tokens * outWidth);
    add(expected, more);
    add(added, abs(more));
    return embed(more, tokens, outWidth, ld, offset);
  };
  if (c.residual) options.residual = addIn();
  const y = c.accumulate ? addIn() : { view: output(offset + tokens * ld), ld };
  // A row of logits' gradients holds zeros up to the next multiple of 4.
  const width = whole(inWidth);
  return {
    weight,
    values,
    x: embed(padColumns(x, tokens, inWidth, width), tokens, width, width + 4, 12),
    y: { ...y, offset },
    options,
    expected,
    terms,
    squares: variance,
    added,
    inWidth,
    outWidth,
    withWeight: (others) =>
      apply(x, others, dims).map((v, i) => expected[i] + alpha * columns[i % outWidth] * (v - product[i])),
  };
}

function add(to: Float64Array, values: Float64Array): void {
  for (let i = 0; i < to.length; i++) to[i] += values[i];
}

/** Makes the product and reads what it wrote: [tokens, outWidth], and whether NaN is still all around it. */
export async function runProduct(
  ops: MatmulOps,
  c: Case,
  p: Product,
  on = cmd,
): Promise<{ actual: Float32Array; tidy: boolean }> {
  const { y, outWidth } = p;
  await run(() => ops[c.direction](p.weight, c.tokens, p.x, y, p.options, c.range), on);
  const all = await read(y.view);
  const actual = new Float32Array(c.tokens * outWidth);
  const around: number[] = [...all.subarray(0, y.offset)];
  for (let t = 0; t < c.tokens; t++) {
    const at = y.offset + t * y.ld;
    actual.set(all.subarray(at, at + outWidth), t * outWidth);
    around.push(...all.subarray(at + whole(outWidth), at + y.ld));
  }
  return { actual, tidy: around.every(Number.isNaN) };
}

/**
 * What f32 products may differ by. Each of n terms meets at most n roundings: its product and the additions after it;
 * then alpha, the factor of its column, and the additions of the LoRA part, the residual and the old value.
 */
export function productBound(c: Case, p: Exact): Float64Array {
  const roundings = p.inWidth + (c.rank ?? 0) + 5 + readRoundings(c.format);
  return p.terms.map((terms, i) => roundings * EPS * (terms + p.added[i]));
}

/** Makes a product in f32 and compares it with the reference. */
export async function checkProduct(
  profile: KernelProfile,
  c: Case,
  rng: Rng,
  ops = new MatmulOps(cmd, profile, { partials: c.split ? output(PARTIAL_VALUES) : undefined }),
) {
  const p = makeProduct(c, rng);
  const { actual, tidy } = await runProduct(ops, c, p);
  expectWithin(actual, p.expected, productBound(c, p), JSON.stringify(c));
  expect(tidy, 'writes outside its rows').toBe(true);
  return { ...p, actual };
}
