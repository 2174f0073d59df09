/** Attention over packs of pairs with shared prompts, forward and backward, against float64. */
import { describe, expect, test } from 'vitest';
import { packPairs, pairShape } from '../../src/data/packing';
import type { TokenizedPair } from '../../src/data/types';
import type { KernelProfile } from '../../src/gpu/profile';
import { type AttentionArgs, attention, attentionBackward } from '../../src/ops/attention';
import * as reference from '../reference/attention';
import { packPairs as referencePack } from '../reference/batch';
import { randomPair } from '../reference/random-model';
import { createRng, type Rng } from '../reference/rng';
import { attentionBounds } from './attention-bounds';
import { cmd, expectWithin, gpuProfiles, input, output, profileCases, profiles, read, run } from './support';

interface Heads {
  heads: number;
  kvHeads: number;
  headDim: number;
}

/** [tokens, width] blocks side by side. */
function fuse(blocks: Float64Array[], tokens: number): Float64Array {
  const widths = blocks.map((b) => b.length / tokens);
  const ld = widths.reduce((a, b) => a + b, 0);
  const out = new Float64Array(tokens * ld);
  let column = 0;
  blocks.forEach((block, i) => {
    for (let t = 0; t < tokens; t++) out.set(block.subarray(t * widths[i], (t + 1) * widths[i]), t * ld + column);
    column += widths[i];
  });
  return out;
}

async function attend(profile: KernelProfile, pairs: TokenizedPair[], h: Heads, rng: Rng) {
  const tile = profile.attentionTile;
  const scales = { nll: 1, oddsRatio: 1 };
  const pack = packPairs(
    pairs.map((pair) => ({ pair, shape: pairShape(pair, true, tile), scales })),
    true,
    tile,
  );
  const { layout } = referencePack([pairs]);
  const { tokens } = pack;
  const { heads, kvHeads, headDim } = h;
  const dims = { tokens, ...h };
  const q = rng.normals(tokens * heads * headDim);
  const k = rng.normals(tokens * kvHeads * headDim);
  const v = rng.normals(tokens * kvHeads * headDim);
  const dO = rng.normals(tokens * heads * headDim);

  const qkv = fuse([q, k, v], tokens);
  const args: AttentionArgs = {
    ...h,
    qkv: input(qkv),
    tiles: input(pack.tileTable),
    tileCount: pack.tiles,
    tokens,
    span: pack.span,
  };
  const out = output(tokens * heads * headDim);
  const lse = output(tokens * heads);
  const dQkv = output(qkv.length);
  await run(() => {
    attention(cmd, profile, args, out, lse);
    attentionBackward(cmd, profile, args, { out, lse, dOut: input(dO), delta: output(tokens * heads), dQkv });
  });
  const saved = reference.attention(q, k, v, layout, dims);
  const expectedOf = (other: Float64Array) => {
    const f = reference.attention(q, k, other, layout, dims);
    const b = reference.attentionBackward(dO, q, k, other, f, layout, dims);
    return { o: f.o, d: fuse([b.dq, b.dk, b.dv], tokens) };
  };
  const bound = attentionBounds(q, k, v, dO, layout, dims);
  return {
    v,
    actual: { o: await read(out), lse: await read(lse), d: await read(dQkv) },
    lse: saved.lse,
    expectedOf,
    bound: { ...bound, d: fuse([bound.dq, bound.dk, bound.dv], tokens) },
  };
}

async function check(profile: KernelProfile, pairs: TokenizedPair[], heads: Heads, rng: Rng) {
  const r = await attend(profile, pairs, heads, rng);
  const expected = r.expectedOf(r.v);
  expectWithin(r.actual.o, expected.o, r.bound.o, 'output');
  expectWithin(r.actual.lse, r.lse, r.bound.lse, 'log-sum-exp');
  expectWithin(r.actual.d, expected.d, r.bound.d, 'dQ, dK, dV');
  // The negative control: one value off by a quarter of a typical one.
  const wrong = r.v.slice();
  wrong[rng.int(wrong.length)] += 0.25;
  const off = r.expectedOf(wrong);
  expect(() => expectWithin(r.actual.o, off.o, r.bound.o)).toThrow(/times the bound/);
  expect(() => expectWithin(r.actual.d, off.d, r.bound.d)).toThrow(/times the bound/);
}

/** One sequence is the beginning of the other, so one of its runs is empty. */
function nestedPair(rng: Rng, length: number, extra: number): TokenizedPair {
  const ids = Array.from({ length: length + extra }, () => rng.int(100));
  const labels = ids.map((id, t) => (t < 2 ? -100 : id));
  return {
    chosen_input_ids: ids,
    chosen_labels: labels,
    rejected_input_ids: ids.slice(0, length),
    rejected_labels: labels.slice(0, length),
  };
}

describe.each(profileCases)('attention, %s', (name, profile) => {
  const rng = createRng(name.length);
  const pair = (prompt: number, chosen: number, rejected: number, shared = 0) =>
    randomPair(rng, 100, prompt, chosen, rejected, shared);

  test('head width 8, grouped queries; runs shorter and longer than a tile, and of a tile exactly', async () => {
    const pairs = [pair(21, 35, 3), pair(1, 1, 1), nestedPair(rng, 5, 4), pair(16, 32, 16, 2), pair(33, 1, 20)];
    await check(profile, pairs, { heads: 6, kvHeads: 2, headDim: 8 }, rng);
  });

  test('a single token', async () => {
    const one = { ...pair(1, 1, 1) };
    for (const key of Object.keys(one) as (keyof TokenizedPair)[]) one[key] = [7];
    const r = await attend(profile, [one], { heads: 6, kvHeads: 2, headDim: 8 }, rng);
    expectWithin(r.actual.o, r.expectedOf(r.v).o, r.bound.o);
    expectWithin(r.actual.d, r.expectedOf(r.v).d, r.bound.d);
  });

  // Tiles of 32 take seconds to compile per head width; they come again below, with the width of the larger models.
  if (name === 'tiles of 32') return;

  test('head width 64, as many key heads as query heads', async () => {
    await check(profile, [pair(3, 18, 2), pair(17, 2, 5)], { heads: 2, kvHeads: 2, headDim: 64 }, rng);
  });

  test('head width 4', async () => {
    await check(profile, [pair(3, 7, 2)], { heads: 4, kvHeads: 1, headDim: 4 }, rng);
  });
});

test('the tile of a GPU, head width 128, grouped queries', async () => {
  const rng = createRng(5);
  const pairs = [randomPair(rng, 100, 21, 35, 3), randomPair(rng, 100, 2, 40, 33)];
  // Tiles of 64 rows take SwiftShader a minute to compile.
  await check(
    { ...gpuProfiles['GPU, small tile'], attentionTile: 32 },
    pairs,
    { heads: 2, kvHeads: 1, headDim: 128 },
    rng,
  );
});

/** Tiles of several proportions, small enough for SwiftShader; head width 16 in one chunk or several, two heads to a key's. */
const SHAPES: Record<string, KernelProfile['attention']> = {
  'heads share workgroups, half a tile of the table each; rows staged by fours': {
    FORWARD: { bm: 16, bn: 16, tm: 4, tn: 4, dc: 16, rows: 4, share: 2 },
    BACKWARD_Q: { bm: 16, bn: 16, tm: 4, tn: 4, dc: 16, rows: 4, share: 2 },
    BACKWARD_KV: { bm: 8, bn: 16, tm: 4, tn: 4, dc: 16, rows: 4 },
  },
  'blocks of threads below and beside each other, two chunks': {
    FORWARD: { bm: 32, bn: 64, tm: 4, tn: 4, dc: 8, rows: 16, share: 4 },
    BACKWARD_Q: { bm: 32, bn: 32, tm: 4, tn: 4, dc: 8, rows: 32, share: 2 },
    BACKWARD_KV: { bm: 16, bn: 64, tm: 4, tn: 4, dc: 8, rows: 32 },
  },
  'oblong scores of a thread, more rows walked than owned': {
    FORWARD: { bm: 16, bn: 32, tm: 4, tn: 8, dc: 8, rows: 8, unroll: 8 },
    BACKWARD_Q: { bm: 16, bn: 16, tm: 8, tn: 4, dc: 4, rows: 8 },
    BACKWARD_KV: { bm: 16, bn: 32, tm: 4, tn: 8, dc: 8, rows: 8, unroll: 8 },
  },
};

test.each(Object.entries(SHAPES))('%s', async (name, attention) => {
  const rng = createRng(name.length);
  const pairs = [randomPair(rng, 100, 21, 35, 3), randomPair(rng, 100, 2, 40, 33), nestedPair(rng, 5, 4)];
  await check({ ...profiles['tiles of 16'], attention }, pairs, { heads: 4, kvHeads: 2, headDim: 16 }, rng);
});

test('scores that rise by hundreds along a row', async () => {
  const rng = createRng(8);
  const { heads, kvHeads, headDim, length } = { heads: 1, kvHeads: 1, headDim: 8, length: 50 };
  const values = new Float64Array(length * 3 * headDim);
  for (let t = 0; t < length; t++) {
    // Scores 8 * 4 size / √8 = 11.3 size: up to 452, and then down again.
    const size = t < 40 ? t : 80 - t;
    values.fill(1, t * 24, t * 24 + 8);
    values.fill(size * 4, t * 24 + 8, t * 24 + 16);
    values[t * 24 + 16] = t;
  }
  const one = { ...randomPair(rng, 100, 1, length - 1, 1) };
  one.rejected_input_ids = one.chosen_input_ids;
  one.rejected_labels = one.chosen_labels;
  const profile = profiles['tiles of 16'];
  const shape = pairShape(one, true, profile.attentionTile);
  const pack = packPairs([{ pair: one, shape, scales: { nll: 1, oddsRatio: 1 } }], true, profile.attentionTile);
  const args = { heads, kvHeads, headDim, tokens: length, span: pack.span, tileCount: pack.tiles };
  const out = output(length * headDim);
  const lse = output(length);
  await run(() => attention(cmd, profile, { ...args, qkv: input(values), tiles: input(pack.tileTable) }, out, lse));
  const o = await read(out);
  const l = await read(lse);
  // Each step of 1 in `size` is worth 4 √8 = 11.3, so the largest takes nearly all.
  for (let t = 0; t < length; t++) {
    const best = Math.min(t, 40);
    const others = t > 40 ? 3e-5 : 2e-5;
    expect(Math.abs(o[t * headDim] - best)).toBeLessThan(others * Math.max(1, best));
    expect(Math.abs(l[t] - best * 4 * Math.sqrt(8))).toBeLessThan(1e-6 * best * 12 + 3e-5);
  }
});

test('head width 128, direct', async () => {
  const rng = createRng(6);
  await check(profileCases[0][1], [randomPair(rng, 100, 7, 3, 19)], { heads: 2, kvHeads: 1, headDim: 128 }, rng);
});
