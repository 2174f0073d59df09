/** Attention over packs of a model's size: its three large kernels timed one by one, and held against the direct kernel. */
import { type Pack, packPairs, pairShape } from '../data/packing';
import type { TokenizedPair } from '../data/types';
import type { KernelProfile } from '../gpu/profile';
import {
  type AttentionArgs,
  attention,
  attentionBackward,
  attentionDelta,
  attentionDKV,
  attentionDQ,
} from '../ops/attention';
import { type Bench, type Measurement, measure, type Work, worstDifference } from './harness';

export interface AttentionCase {
  name: string;
  heads: number;
  kvHeads: number;
  headDim: number;
  pairs: number;
  /** Tokens of each sequence, and how many of them a pair shares. */
  length: number;
  shared: number;
}

const HEADS = { heads: 32, kvHeads: 8 };
const PLAIN = { pairs: 2, length: 1024, shared: 1 };
/** The head shapes of Llama-3.2-1B and Llama-3-8B. */
const CASES: AttentionCase[] = [
  { name: '1B', ...HEADS, headDim: 64, ...PLAIN },
  { name: '1B shared 512', ...HEADS, headDim: 64, ...PLAIN, shared: 512 },
  { name: '8B', ...HEADS, headDim: 128, ...PLAIN },
  { name: '8B shared 512', ...HEADS, headDim: 128, ...PLAIN, shared: 512 },
];

/** All cases, or small ones like them. */
export const wholeCases = (quick: boolean): AttentionCase[] =>
  quick ? CASES.map((c) => ({ ...c, heads: 4, kvHeads: 1, length: 128, shared: Math.ceil(c.shared / 8) })) : CASES;

/** Lengths that fill no tile, for the comparison with the direct kernel. */
export const uneven = (c: AttentionCase): AttentionCase => ({
  ...c,
  length: c.length / 2 + 39,
  shared: Math.max(1, Math.floor(c.shared / 2) - 7),
});

export const ATTENTION_KERNELS = ['forward', 'dQ', 'dK dV'] as const;
export type AttentionKernel = (typeof ATTENTION_KERNELS)[number];

/** Products of the head dimension per query and key that it sees. */
const PRODUCTS: Record<AttentionKernel, number> = { forward: 2, dQ: 3, 'dK dV': 4 };

function packOf({ pairs, length, shared }: AttentionCase, tile: number): Pack {
  const ids = (from: number) => Array.from({ length }, (_, i) => (i < shared ? i : from + i));
  const pair: TokenizedPair = {
    chosen_input_ids: ids(1e5),
    chosen_labels: ids(1e5),
    rejected_input_ids: ids(2e5),
    rejected_labels: ids(2e5),
  };
  const shape = pairShape(pair, true, tile);
  const scales = { nll: 1, oddsRatio: 1 };
  return packPairs(
    Array.from({ length: pairs }, () => ({ pair, shape, scales })),
    true,
    tile,
  );
}

/** Everything that the kernels read and write for one case, on the GPU. */
function prepare(bench: Bench, c: AttentionCase, { attentionTile: tile, matrix: onUnits }: KernelProfile) {
  const pack = packOf(c, tile);
  const { tokens } = pack;
  const { heads, kvHeads, headDim } = c;
  const width = (heads + 2 * kvHeads) * headDim;
  const tiles = bench.fill(bench.buffer(pack.tileTable.byteLength), pack.tileTable);
  const args: AttentionArgs = {
    // Scores of a few units, as a model's are.
    qkv: bench.floats(tokens * width, 6),
    tiles: { buffer: tiles },
    tileCount: pack.tiles,
    tokens,
    heads,
    kvHeads,
    headDim,
    span: pack.span,
  };
  const g = {
    out: bench.floats(tokens * heads * headDim),
    lse: bench.floats(tokens * heads),
    dOut: bench.floats(tokens * heads * headDim),
    delta: bench.floats(tokens * heads),
    ...(onUnits && { tops: bench.floats(tokens * heads) }),
    dQkv: bench.floats(tokens * width),
  };
  return { args, g, width };
}

type Prepared = ReturnType<typeof prepare>;

function record(bench: Bench, profile: KernelProfile, kernel: AttentionKernel, { args, g }: Prepared): void {
  if (kernel === 'forward') attention(bench.cmd, profile, args, g.out, g.lse);
  else if (kernel === 'dQ') attentionDQ(bench.cmd, profile, args, g);
  else attentionDKV(bench.cmd, profile, args, g);
}

/** Times one kernel in turn with every profile. TFLOP/s count queries with the keys they see and nothing else. */
export async function attentionTimes(
  bench: Bench,
  c: AttentionCase,
  kernel: AttentionKernel,
  profiles: readonly (readonly [string, KernelProfile])[],
  batchMs?: number,
): Promise<Measurement[]> {
  const prepared = prepare(bench, c, profiles[0][1]);
  const { args, g } = prepared;
  attention(bench.cmd, profiles[0][1], args, g.out, g.lse);
  attentionDelta(bench.cmd, args, g);
  const works = profiles.map(
    ([label, profile]): Work => ({
      group: `attention, ${c.name}`,
      name: `${c.name} ${kernel}${label && ` ${label}`}`,
      flops: 2 * PRODUCTS[kernel] * args.tokens * args.span * args.heads * args.headDim,
      record: () => record(bench, profile, kernel, prepared),
    }),
  );
  const results = await measure(bench.cmd, works, batchMs);
  await bench.cmd.finish();
  bench.destroy();
  return results;
}

/** Results of a kernel with each profile: the largest difference from the first one's, over the largest value. */
export async function attentionErrors(
  bench: Bench,
  c: AttentionCase,
  kernel: AttentionKernel,
  profiles: readonly KernelProfile[],
): Promise<number[]> {
  const prepared = prepare(bench, c, profiles[0]);
  const { args, g, width } = prepared;
  let expected: Float32Array | null = null;
  const errors: number[] = [];
  for (const profile of profiles) {
    if (!expected) {
      attention(bench.cmd, profile, args, g.out, g.lse);
      attentionBackward(bench.cmd, profile, args, g);
    }
    record(bench, profile, kernel, prepared);
    const [view, size] =
      kernel === 'forward' ? [g.out, args.tokens * args.heads * args.headDim] : [g.dQkv, args.tokens * width];
    const actual = new Float32Array(await bench.cmd.read(view, size * 4));
    // What the next profile fails to write would otherwise be right.
    bench.cmd.clear(kernel === 'forward' ? g.out : g.dQkv);
    if (kernel !== 'forward') mask(actual, kernel, args, width);
    expected ??= actual;
    errors.push(worstDifference(actual, expected));
  }
  await bench.cmd.finish();
  bench.destroy();
  return errors;
}

/** Leaves the part of dQkv that the kernel makes. */
function mask(
  values: Float32Array,
  kernel: AttentionKernel,
  { tokens, heads, headDim }: AttentionArgs,
  width: number,
): void {
  const queries = heads * headDim;
  for (let t = 0; t < tokens; t++) {
    if (kernel === 'dQ') values.fill(0, t * width + queries, (t + 1) * width);
    else values.fill(0, t * width, t * width + queries);
  }
}
