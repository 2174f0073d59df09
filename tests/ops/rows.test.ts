/** Row-wise kernels: embedding, RMSNorm, RoPE and SwiGLU. */
import { describe, expect, test } from 'vitest';
import { ropeTable } from '../../src/model/rope';
import { embedding } from '../../src/ops/embedding';
import { type RmsNormArgs, rmsNorm, rmsNormBackward } from '../../src/ops/rmsnorm';
import { rope } from '../../src/ops/rope';
import { itemGroups, rowGroups } from '../../src/ops/rows';
import { swiglu, swigluBackward } from '../../src/ops/swiglu';
import * as reference from '../reference/rmsnorm';
import { createRng } from '../reference/rng';
import * as referenceRope from '../reference/rope';
import * as referenceSwiglu from '../reference/swiglu';
import {
  cmd,
  EPS,
  expectWithin,
  gpuProfiles,
  input,
  output,
  profiles,
  randomWeight,
  read,
  readRoundings,
  run,
} from './support';

/** Row kernels know nothing of tiles, only how many threads share a row. */
const threadCases = Object.entries({
  '4 threads a row': profiles.direct,
  '32 threads a row': profiles['tiles of 32'],
  '128 threads a row': gpuProfiles['GPU, small tile'],
});

const SHAPES = [
  [1, 64],
  [37, 172],
  [3, 8],
] as const;

describe.each(threadCases)('%s', (name, profile) => {
  const rng = createRng(name.length);

  test.each(SHAPES)('RMSNorm of %i rows of %i values', async (tokens, hidden) => {
    const x = rng.normals(tokens * hidden);
    const gain = rng.uniforms(hidden, 0.5, 1.5);
    const dy = rng.normals(x.length);
    const before = rng.normals(x.length);
    const eps = 1e-5;
    const args: RmsNormArgs = { x: input(x), gain: input(gain), rows: tokens, hidden, eps };
    const y = output(x.length);
    const dx = input(before);
    await run(() => {
      rmsNorm(cmd, profile, args, y);
      rmsNormBackward(cmd, profile, args, input(dy), dx);
    });

    // The mean of squares sums positive terms: `hidden` roundings of it at most, of which the root keeps half.
    const rootError = (hidden / 2 + 6) * EPS;
    const expected = reference.rmsNorm(x, gain, tokens, hidden, eps);
    const bound = expected.map((v) => rootError * Math.abs(v));
    expectWithin(await read(y), expected, bound, 'y');

    const rstd = reference.rowRstd(x, tokens, hidden, eps);
    const back = reference.rmsNormBackward(dy, x, gain, tokens, hidden, eps);
    const sizes = x.map((value, i) => {
      const t = Math.floor(i / hidden);
      let mean = 0;
      for (let j = 0; j < hidden; j++) mean += Math.abs(dy[t * hidden + j] * gain[j] * x[t * hidden + j] * rstd[t]);
      return rstd[t] * (Math.abs(dy[i] * gain[i % hidden]) + (Math.abs(value * rstd[t]) * mean) / hidden);
    });
    const added = back.map((v, i) => v + before[i]);
    // Three factors of the root, and a sum of `hidden` terms of both signs.
    const backBound = sizes.map((s, i) => (3 * rootError + hidden * EPS) * s + EPS * Math.abs(before[i]));
    expectWithin(await read(dx), added, backBound, 'dx');

    const wrongGain = gain.slice();
    wrongGain[rng.int(hidden)] += 0.05;
    const wrong = reference.rmsNorm(x, wrongGain, tokens, hidden, eps);
    const output1 = await read(y);
    expect(() => expectWithin(output1, wrong, bound)).toThrow(/times the bound/);
    const wrongBack = reference.rmsNormBackward(dy, x, wrongGain, tokens, hidden, eps).map((v, i) => v + before[i]);
    const output2 = await read(dx);
    expect(() => expectWithin(output2, wrongBack, backBound)).toThrow(/times the bound/);
  });

  test('RMSNorm of some rows only; the others keep their gradient', async () => {
    const [tokens, hidden, eps] = [9, 20, 1e-6];
    const rows = [1, 2, 5, 8];
    const x = rng.normals(tokens * hidden);
    const gain = rng.uniforms(hidden, 0.5, 1.5);
    const dy = rng.normals(rows.length * hidden);
    const picked = Float64Array.from(rows.flatMap((r) => [...x.subarray(r * hidden, (r + 1) * hidden)]));
    const args = {
      x: input(x),
      gain: input(gain),
      rows: rows.length,
      hidden,
      eps,
      gather: input(Uint32Array.from(rows)),
    };
    const y = output(dy.length);
    const dx = output(x.length, 0);
    await run(() => {
      rmsNorm(cmd, profile, args, y);
      rmsNormBackward(cmd, profile, args, input(dy), dx);
    });
    const error = (hidden + 10) * EPS;
    const expected = reference.rmsNorm(picked, gain, rows.length, hidden, eps);
    expectWithin(
      await read(y),
      expected,
      expected.map((v) => error * Math.abs(v)),
    );
    const back = reference.rmsNormBackward(dy, picked, gain, rows.length, hidden, eps);
    const scattered = new Float64Array(x.length);
    rows.forEach((r, i) => {
      scattered.set(back.subarray(i * hidden, (i + 1) * hidden), r * hidden);
    });
    // 10 bounds a row's 1/rms times its terms here.
    expectWithin(
      await read(dx),
      scattered,
      scattered.map((v) => (v === 0 ? 0 : 10 * error)),
    );
  });

  test.each([
    [1, 1, 8, 0],
    [23, 3, 8, 8],
    [5, 2, 64, 4],
    [3, 1, 128, 0],
  ])('RoPE of %i tokens, %i heads of %i, %i other values a row', async (tokens, heads, headDim, rest) => {
    const width = heads * headDim;
    const ld = width + rest;
    const x = rng.normals(tokens * ld);
    const positions = Uint32Array.from({ length: tokens }, () => rng.int(200));
    const config = {
      theta: 10000,
      type: 'default',
      factor: 1,
      lowFreqFactor: 1,
      highFreqFactor: 1,
      originalMaxPositions: 0,
    } as const;
    const table = input(ropeTable(config, headDim, 200));
    const inv = referenceRope.ropeInvFreq(headDim, 10000);
    const turned = Float64Array.from({ length: tokens * width }, (_, i) => x[Math.floor(i / width) * ld + (i % width)]);
    for (const direction of ['forward', 'backward'] as const) {
      const view = input(x);
      await run(() =>
        rope(cmd, profile, { x: view, positions: input(positions), table, tokens, heads, headDim, ld }, direction),
      );
      const apply = direction === 'forward' ? referenceRope.rope : referenceRope.ropeBackward;
      const expected = x.slice();
      const bound = new Float64Array(x.length);
      apply(turned, positions, inv, heads).forEach((v, i) => {
        const at = Math.floor(i / width) * ld + (i % width);
        const other = i % headDim < headDim / 2 ? i + headDim / 2 : i - headDim / 2;
        expected[at] = v;
        // cos and sin rounded, two products, one sum; inverse frequencies may differ by a unit in the last place,
        // which turns by that much times the largest angle.
        bound[at] = (4 + 200) * EPS * (Math.abs(turned[i]) + Math.abs(turned[other]));
      });
      const actual = await read(view);
      expectWithin(actual, expected, bound, direction);
      const elsewhere = apply(
        turned,
        positions.map((t) => t + 1),
        inv,
        heads,
      );
      expect(Math.abs(elsewhere[0] - actual[0])).toBeGreaterThan(bound[0]);
    }
  });

  test.each([
    [1, 64],
    [7, 172],
    [2, 4],
  ])('SwiGLU of %i rows of %i', async (rows, width) => {
    const gate = rng.normals(rows * width, 4);
    const up = rng.normals(rows * width);
    const dAct = rng.normals(rows * width);
    gate[0] = 90;
    gate[1] = -90;
    const interleaved = new Float64Array(2 * gate.length);
    for (let r = 0; r < rows; r++) {
      interleaved.set(gate.subarray(r * width, (r + 1) * width), 2 * r * width);
      interleaved.set(up.subarray(r * width, (r + 1) * width), (2 * r + 1) * width);
    }
    const gateUp = input(interleaved);
    const act = output(gate.length);
    await run(() => swiglu(cmd, profile, rows, width, gateUp, act));
    // exp errs by (3 + 2|g|) ε, the quotient by a few more. Beyond 80 the kernel clamps, where silu(-80) is 1e-33.
    const relative = (g: number) => (12 + 2 * Math.abs(g)) * EPS;
    const expected = referenceSwiglu.swiglu(gate, up);
    const bound = expected.map((v, i) => relative(gate[i]) * Math.abs(v) + 1e-32);
    expectWithin(await read(act), expected, bound);
    expect(() =>
      expectWithin(
        expected,
        referenceSwiglu.swiglu(
          gate.map((g, i) => g + (i === 2 ? 0.01 : 0)),
          up,
        ),
        bound,
      ),
    ).toThrow(/times the bound/);

    await run(() => swigluBackward(cmd, profile, rows, width, gateUp, input(dAct)));
    const { dGate, dUp } = referenceSwiglu.swigluBackward(dAct, gate, up);
    const back = new Float64Array(2 * gate.length);
    const backBound = new Float64Array(2 * gate.length);
    for (let i = 0; i < gate.length; i++) {
      const at = 2 * Math.floor(i / width) * width + (i % width);
      const s = 1 / (1 + Math.exp(-gate[i]));
      back[at] = dGate[i];
      back[at + width] = dUp[i];
      // 1 - σ and 1 + g (1 - σ) cancel, so the size is that of their terms.
      backBound[at] = relative(gate[i]) * Math.abs(dAct[i] * up[i]) * s * (1 + 2 * Math.abs(gate[i])) + 1e-32;
      backBound[at + width] = relative(gate[i]) * Math.abs(dUp[i]) + 1e-32;
    }
    expectWithin(await read(gateUp), back, backBound, 'gradient');
    expect(() =>
      expectWithin(
        back.map((v, i) => (i === 2 ? v * 1.001 : v)),
        back,
        backBound,
      ),
    ).toThrow(/times the bound/);
  });
});

test.each(['F32', 'BF16', 'F16', 'NF4'] as const)('embedding from %s, in one part and in several', async (format) => {
  const rng = createRng(format.length);
  for (const bindingLimit of [2 ** 27, 172 * 4 * 5]) {
    const { weight, values } = randomWeight(rng, 21, 172, { format, bindingLimit });
    const ids = Uint32Array.from([20, 0, 7, 7, 19, 3]);
    const y = output(ids.length * 172);
    await run(() => embedding(cmd, profiles.direct, weight, input(ids), ids.length, y));
    const expected = Float64Array.from([...ids].flatMap((id) => [...values.subarray(id * 172, (id + 1) * 172)]));
    const actual = await read(y);
    expectWithin(
      actual,
      expected,
      expected.map((v) => readRoundings(format) * EPS * Math.abs(v)),
    );
    const shifted = Float64Array.from(
      [...ids].flatMap((id) => [...values.subarray(((id + 1) % 21) * 172, (((id + 1) % 21) + 1) * 172)]),
    );
    expect(() =>
      expectWithin(
        actual,
        shifted,
        expected.map((v) => 8 * EPS * Math.abs(v)),
      ),
    ).toThrow(/times the bound/);
  }
});

test('more than 65,535 rows spread over two axes', async () => {
  expect(rowGroups(65535)).toEqual([65535, 1]);
  expect(rowGroups(65536)).toEqual([65535, 2]);
  expect(itemGroups(65535 * 64 + 1)).toEqual([65535, 2]);
  const rng = createRng(1);
  const { weight, values } = randomWeight(rng, 5, 4);
  const ids = Uint32Array.from({ length: 65_540 }, () => rng.int(5));
  const y = output(ids.length * 4);
  await run(() => embedding(cmd, profiles.direct, weight, input(ids), ids.length, y));
  const actual = await read(y);
  const wrong = actual.findIndex((v, i) => v !== values[ids[i >> 2] * 4 + (i & 3)]);
  expect(wrong).toBe(-1);
});
