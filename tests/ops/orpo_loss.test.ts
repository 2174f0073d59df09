/** The loss of pairs and the gradient weights of their entries, and the functions it is made of. */
import { describe, expect, test } from 'vitest';
import { CHOSEN, NLL, type Pack, packPairs, pairShape, REJECTED } from '../../src/data/packing';
import type { TokenizedPair } from '../../src/data/types';
import { orpoLoss, PAIR_RESULT } from '../../src/ops/orpo_loss';
import { packPairs as referencePack } from '../reference/batch';
import { LOGP_CEILING, log1mexp, logSigmoid, orpo } from '../reference/orpo';
import { randomPair } from '../reference/random-model';
import { createRng, type Rng } from '../reference/rng';
import { pairOf } from '../support/pairs';
import { cmd, EPS, expectWithin, FLUSHED, gpuProfiles, input, output, profiles, read, run } from './support';

const rng = createRng(11);
const BETA = 0.3;

/** Log-probability of a target: its stored parts give exactly `z - max - log sum` in float64. */
interface Scores {
  stats: Float64Array;
  z: Float64Array;
  logp: Float64Array;
}

/** Stats of rows and logits of entries that give about the wanted log-probabilities. */
function scoresFor(pack: Pack, wanted: (entry: number) => number, r: Rng): Scores {
  const stats = new Float64Array(pack.rows * 4);
  for (let i = 0; i < pack.rows; i++) {
    stats[4 * i] = Math.fround(3 * r.normal());
    stats[4 * i + 1] = Math.fround(1 + 40 * r.uniform());
  }
  const z = new Float64Array(pack.entries);
  const logp = new Float64Array(pack.entries);
  for (let e = 0; e < pack.entries; e++) {
    const row = pack.entryTable[4 * e];
    z[e] = Math.fround(stats[4 * row] + Math.log(stats[4 * row + 1]) + wanted(e));
    logp[e] = z[e] - stats[4 * row] - Math.log(stats[4 * row + 1]);
  }
  return { stats, z, logp };
}

function scalesOf(pairs: readonly TokenizedPair[], nllOnPrompt: boolean) {
  const shapes = pairs.map((pair) => pairShape(pair, nllOnPrompt, 16));
  const tokens = shapes.reduce((sum, s) => sum + s.nllTokens, 0);
  return shapes.map((shape, i) => ({
    pair: pairs[i],
    shape,
    scales: { nll: 1 / tokens, oddsRatio: BETA / pairs.length },
  }));
}

/** The kernel's numbers and float64's for one micro-batch of pairs. */
async function compare(
  pairs: TokenizedPair[],
  wanted: (entry: number) => number,
  { nllOnPrompt = true, profile = profiles.direct } = {},
) {
  const pack = packPairs(scalesOf(pairs, nllOnPrompt), nllOnPrompt, 16);
  const s = scoresFor(pack, wanted, rng);
  const rowLogits = Float64Array.from({ length: pack.rows * 2 }, (_, i) =>
    i % 2 ? pack.rowSides[i >> 1] : Math.fround(rng.normal()),
  );
  const weights = output(pack.entries);
  const results = output(pack.pairs * PAIR_RESULT.length);
  const views = {
    entries: input(pack.entryTable),
    pairs: input(pack.pairTable),
    stats: input(s.stats),
    z: input(s.z),
    row_logits: input(rowLogits),
  };
  await run(() => orpoLoss(cmd, profile, pack.pairs, { ...views, weights, results }));

  // The reference keeps an entry per sequence; the pack merges those that predict the same token from the same row.
  const batch = referencePack([pairs], { nllOnPrompt });
  const keyOf = (pair: number, token: number, target: number) => `${pair}/${token}/${target}`;
  const packed = new Map<string, number>();
  const pairOfEntry = new Int32Array(pack.entries);
  for (let p = 0; p < pack.pairs; p++) {
    const [first, count] = pack.pairTable.subarray(8 * p, 8 * p + 2);
    for (let e = first; e < first + count; e++) {
      pairOfEntry[e] = p;
      packed.set(keyOf(p, pack.rowTokens[pack.entryTable[4 * e]], pack.entryTable[4 * e + 1]), e);
    }
  }
  const own = batch.entries.map((e) => packed.get(keyOf(e.pair, e.row, e.target))!);
  const logps = Float64Array.from(own, (e) => s.logp[e]);
  const expected = orpo(batch.entries, logps, { beta: BETA, microOfPair: batch.microOfPair, groupSize: 1 });
  const expectedWeights = new Float64Array(pack.entries);
  expected.weights.forEach((w, i) => {
    expectedWeights[own[i]] += w;
  });

  // Bounds. z, max and log(sum) are rounded once each, log errs by 3 ε or 2^-21 near 1.
  const lpError = (e: number) => {
    const row = pack.entryTable[4 * e];
    return 3 * EPS * (Math.abs(s.z[e]) + Math.abs(s.stats[4 * row]) + 2 * Math.log(s.stats[4 * row + 1])) + 2 ** -21;
  };
  const perPair = [...Array(pack.pairs).keys()].map((p) => {
    const entries = [...pairOfEntry.keys()].filter((e) => pairOfEntry[e] === p);
    const side = (role: number) => {
      const members = entries.filter((e) => pack.entryTable[4 * e + 2] & role);
      const total = members.reduce((sum, e) => sum + s.logp[e], 0);
      const size = members.reduce((sum, e) => sum + Math.abs(s.logp[e]), 0);
      const error = members.reduce((sum, e) => sum + lpError(e), 0) + members.length * EPS * size;
      return { total, error, count: members.length };
    };
    const mean = (role: number) => {
      const { total, error, count } = side(role);
      const l = Math.min(total / count, LOGP_CEILING);
      const gap = -Math.expm1(l);
      const lError = error / count + EPS * Math.abs(l);
      // log1mexp is off by e^l / (1 - e^l) of l's error, and by its own few roundings.
      return { logp: total / count, l, gap, lError, oddsError: lError / gap + 2 ** -20 * (1 + Math.abs(log1mexp(l))) };
    };
    const [c, r] = [mean(CHOSEN), mean(REJECTED)];
    const logOdds = c.l - r.l - (log1mexp(c.l) - log1mexp(r.l));
    const oddsError = c.oddsError + r.oddsError + 4 * EPS * (Math.abs(c.l) + Math.abs(r.l));
    return { nll: side(NLL), c, r, logOdds, oddsError };
  });
  const values = await read(results);
  perPair.forEach((p, i) => {
    const [nll, lc, lr, logOdds, ratio, chosenLogits, rejectedLogits] = values.subarray(8 * i, 8 * i + 8);
    expectWithin([nll], [-p.nll.total], [p.nll.error + EPS], `nll of pair ${i}`);
    expectWithin([lc, lr], [p.c.logp, p.r.logp], [p.c.lError, p.r.lError], `logps of pair ${i}`);
    expectWithin([logOdds], [p.logOdds], [p.oddsError], `log odds of pair ${i}`);
    expectWithin([ratio], [logSigmoid(p.logOdds)], [p.oddsError + 2 ** -20], `logsigmoid of pair ${i}`);
    const [firstRow, rows] = pack.pairTable.subarray(8 * i + 4, 8 * i + 6);
    const sums = [1, 2].map((bit) => {
      let sum = 0;
      for (let r = firstRow; r < firstRow + rows; r++) if (pack.rowSides[r] & bit) sum += rowLogits[2 * r];
      return sum;
    });
    expectWithin(
      [chosenLogits, rejectedLogits],
      sums,
      sums.map(() => rows * rows * 4 * EPS),
      'logits',
    );
  });
  const bound = expectedWeights.map((_, e) => {
    const p = perPair[pairOfEntry[e]];
    const roles = pack.entryTable[4 * e + 2];
    const pull = (side: typeof p.c, length: number) =>
      (BETA / pairs.length / length / side.gap) * (1 / (1 + Math.exp(p.logOdds)));
    // σ(-lo) is off by the error of lo, 1 / (1 - e^l) by l's error over the gap.
    const relative = (side: typeof p.c) => p.oddsError + side.lError / side.gap + 16 * EPS;
    let b = FLUSHED + 4 * EPS * ((roles & NLL ? 1 / p.nll.count : 0) + Math.abs(expectedWeights[e]));
    if (roles & CHOSEN) b += pull(p.c, lengthOf(pack, pairOfEntry[e], 2)) * relative(p.c);
    if (roles & REJECTED) b += pull(p.r, lengthOf(pack, pairOfEntry[e], 3)) * relative(p.r);
    return b;
  });
  const actual = await read(weights);
  expectWithin(actual, expectedWeights, bound, 'weights');
  return { pack, actual, expectedWeights, bound, values, expected };
}

const lengthOf = (pack: Pack, pair: number, word: number) => pack.pairTable[8 * pair + word];

const typical = () => -0.1 - 4 * rng.uniform();

describe.each(Object.entries({ '4 threads': profiles.direct, '128 threads': gpuProfiles['GPU, small tile'] }))(
  'ORPO loss, %s',
  (_, profile) => {
    test('pairs of every shape share a pack', async () => {
      const pairs = [
        randomPair(rng, 50, 9, 30, 4),
        randomPair(rng, 50, 1, 1, 1),
        randomPair(rng, 50, 4, 1, 7),
        randomPair(rng, 50, 3, 6, 5, 4),
        // Chosen is the beginning of rejected, and the other way round.
        pairOf(2, [1, 2, 3, 4], [1, 2, 3, 4, 5, 6]),
        pairOf(2, [1, 2, 3, 4, 5, 6], [1, 2, 3]),
        // They differ from the first token of the prompt on.
        pairOf(2, [1, 2, 3, 4], [2, 2, 3]),
      ];
      for (const nllOnPrompt of [true, false]) {
        const r = await compare(pairs, typical, { nllOnPrompt, profile });
        const at = rng.int(r.pack.entries);
        const wrong = r.expectedWeights.map((w, e) => (e === at ? w + 1e-4 : w));
        expect(() => expectWithin(r.actual, wrong, r.bound)).toThrow(/times the bound/);
      }
    });

    test('identical answers: a log odds ratio of 0', async () => {
      const r = await compare([pairOf(2, [1, 2, 3, 4], [1, 2, 3, 4])], typical, { profile });
      expect(r.values[3]).toBe(0);
      expect(r.values[4]).toBeCloseTo(-Math.LN2, 6);
    });
  },
);

describe('extreme log-probabilities', () => {
  const pair = () => pairOf(2, [1, 2, 3], [1, 2, 9]);
  /** Entries of that pair: token 2 (NLL), 3 (chosen) and 9 (rejected). */
  const logps = (chosen: number, rejected: number) => (e: number) => [-1, chosen, rejected][e];

  test.each([
    [-1e-5, -3],
    [-3, -1e-5],
    [-1e-4, -1e-3],
    [-90, -2],
    [-2, -90],
    [-120, -130],
    [1e-4 - Math.LN2, -1e-4 - Math.LN2],
    [-1e-6 - Math.LN2, 1e-6 - Math.LN2],
    [-20, -20.5],
  ])('chosen %d, rejected %d', async (chosen, rejected) => {
    await compare([pair()], logps(chosen, rejected));
  });

  test.each([
    [0, -2],
    [-2, 0],
    [0, 0],
    [-1e-8, -1e-7],
  ])('a probability of one is held below it: %d and %d', async (chosen, rejected) => {
    const pairs = [pair()];
    const pack = packPairs(scalesOf(pairs, true), true, 16);
    // max 0, sum 1: the log-probability is z exactly.
    const stats = Float64Array.from({ length: pack.rows * 4 }, (_, i) => (i % 4 === 1 ? 1 : 0));
    const weights = output(pack.entries);
    const results = output(8);
    const views = {
      entries: input(pack.entryTable),
      pairs: input(pack.pairTable),
      stats: input(stats),
      z: input(Float64Array.of(-1, chosen, rejected)),
      row_logits: input(new Float64Array(pack.rows * 4)),
    };
    await run(() => orpoLoss(cmd, profiles.direct, 1, { ...views, weights, results }));
    const [, lc, lr, logOdds] = await read(results);
    expect([lc, lr]).toEqual([Math.fround(chosen), Math.fround(rejected)]);
    const clamp = (l: number) => Math.min(l, Math.fround(LOGP_CEILING));
    const [c, r] = [clamp(chosen), clamp(rejected)];
    const expected = c - r - (log1mexp(c) - log1mexp(r));
    expect(Math.abs(logOdds - expected)).toBeLessThan(1e-5 * (1 + Math.abs(expected)));
    const s = 1 / (1 + Math.exp(expected));
    const wanted = [1 / 2, 1 / 2 + (BETA * s) / -Math.expm1(c), (-BETA * s) / -Math.expm1(r)];
    const actual = await read(weights);
    // σ and the quotient follow the log odds, which is off by up to 1e-5 of itself.
    wanted.forEach((w, e) => {
      expect(Math.abs(actual[e] - w)).toBeLessThan(2e-5 * (1 + Math.abs(expected)) * Math.max(1, Math.abs(w)));
    });
  });
});

describe('functions of lib/log1p.wgsl', () => {
  const grid = (low: number, high: number, n: number) =>
    Float32Array.from(
      { length: n },
      (_, i) => -Math.exp(Math.log(low) + ((Math.log(high) - Math.log(low)) * i) / (n - 1)),
    );
  const nearLn2 = Float32Array.from({ length: 64 }, (_, i) => -Math.LN2 + (i - 32) * 2e-7);
  const negative = Float32Array.from([...grid(1e-6, 80, 200), ...nearLn2, -Math.fround(Math.LN2)]);
  const both = Float32Array.from([...negative, ...negative.map((x) => -x), 0]);

  async function evaluate(name: string, x: Float32Array<ArrayBuffer>): Promise<Float32Array> {
    const source = `
      struct Params { count: u32, }
      @group(0) @binding(0) var<uniform> p: Params;
      @group(0) @binding(1) var<storage, read> x: array<f32>;
      @group(0) @binding(2) var<storage, read_write> y: array<f32>;
      //#include log1p
      @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
        if (id.x < p.count) { y[id.x] = ${name}(x[id.x]); }
      }`;
    const y = output(x.length);
    const groups: [number] = [Math.ceil(x.length / 64)];
    await run(() => cmd.dispatch({ name, source }, { x: input(x), y }, { count: x.length }, groups));
    return read(y);
  }

  const check = (x: Float32Array, y: Float32Array, f: (x: number) => number, relative: (x: number) => number) =>
    expectWithin(
      y,
      Array.from(x, f),
      Array.from(x, (v) => relative(v) * Math.abs(f(v)) + 2 ** -126),
    );

  // WGSL's log errs by 3 ε, but by 2^-21 absolutely on [0.5, 2]; its exp by (3 + 2|x|) ε.
  test('log1mexp on both sides of -ln 2', async () => {
    check(negative, await evaluate('log1mexp', negative), log1mexp, (x) =>
      x < -Math.LN2
        ? (12 + 2 * Math.abs(x)) * EPS + 2 ** -21 / Math.LN2
        : 16 * EPS + (16 * EPS + 2 ** -21 * Number(x < -0.6)) / Math.abs(log1mexp(x)),
    );
    const y = await evaluate('log1mexp', negative);
    const naive = negative.map((x) => Math.log(1 - Math.fround(Math.exp(x))));
    expect(() => check(negative, naive, log1mexp, () => 1e-4)).toThrow(/times the bound|NaN|Infinity/);
    expect(y.every((v) => v < 0)).toBe(true);
  });

  test('expm1 below zero', async () => {
    check(negative, await evaluate('expm1', negative), Math.expm1, () => 24 * EPS);
  });

  test('log1p above -1', async () => {
    const x = Float32Array.from([...negative.filter((v) => v > -0.9), ...negative.map((v) => -v)]);
    check(x, await evaluate('log1p', x), Math.log1p, (v) =>
      Math.abs(v) > 0.4 ? 4 * EPS + 2 ** -21 / Math.abs(Math.log1p(v)) : 12 * EPS,
    );
  });

  test('sigmoid and logsigmoid', async () => {
    check(
      both,
      await evaluate('sigmoid', both),
      (x) => 1 / (1 + Math.exp(-x)),
      (x) => (12 + 2 * Math.abs(x)) * EPS,
    );
    check(
      both,
      await evaluate('logsigmoid', both),
      logSigmoid,
      (x) => (16 + 2 * Math.abs(x)) * EPS + 2 ** -21 / Math.LN2,
    );
  });
});
