import { describe, expect, test } from 'vitest';
import { maxAbs } from '../support/close';
import { attention, attentionBackward, type PackedLayout, positionsOf } from './attention';
import { dot, gradientError } from './check';
import { headBackward, headForward } from './head';
import { linear, linearBackwardInput, linearBackwardWeight } from './linear';
import { doraBackward, doraForward, doraNorm, type Lora, loraBackward, loraForward } from './lora';
import { rmsNorm, rmsNormBackward } from './rmsnorm';
import { createRng } from './rng';
import { rope, ropeBackward, ropeInvFreq } from './rope';
import { swiglu, swigluBackward } from './swiglu';

const TOLERANCE = 1e-8;

test('the random generator is repeatable and float32-exact', () => {
  const a = createRng(3).normals(1000, 2);
  expect(createRng(3).normals(1000, 2)).toEqual(a);
  expect(createRng(4).normals(1000, 2)).not.toEqual(a);
  for (const value of a) expect(Math.fround(value)).toBe(value);
  const mean = a.reduce((s, x) => s + x, 0) / a.length;
  const variance = a.reduce((s, x) => s + (x - mean) ** 2, 0) / a.length;
  expect(Math.abs(mean)).toBeLessThan(0.2);
  expect(Math.abs(variance - 4)).toBeLessThan(0.6);
});

describe('linear', () => {
  const dims = { tokens: 3, inFeatures: 5, outFeatures: 7 };
  const rng = createRng(1);
  const x = rng.normals(15);
  const w = rng.normals(35);
  const dy = rng.normals(21);
  test('forward is the plain triple sum', () => {
    const y = linear(x, w, dims);
    for (let t = 0; t < 3; t++) {
      for (let o = 0; o < 7; o++) {
        let s = 0;
        for (let i = 0; i < 5; i++) s += x[t * 5 + i] * w[o * 5 + i];
        expect(y[t * 7 + o]).toBeCloseTo(s, 12);
      }
    }
  });
  test('backward', () => {
    const loss = () => dot(linear(x, w, dims), dy);
    expect(gradientError(loss, x, linearBackwardInput(dy, w, dims))).toBeLessThan(TOLERANCE);
    expect(gradientError(loss, w, linearBackwardWeight(dy, x, dims))).toBeLessThan(TOLERANCE);
  });
});

describe('LoRA and DoRA', () => {
  const dims = { tokens: 4, inFeatures: 6, outFeatures: 5 };
  const rng = createRng(2);
  const x = rng.normals(24);
  const w0 = rng.normals(30);
  const dy = rng.normals(20);
  const lora: Lora = { a: rng.normals(12), b: rng.normals(10), rank: 2, scale: 1.5, magnitude: rng.uniforms(5, 1, 3) };

  test('LoRA equals a linear layer with W0 + s·B·A', () => {
    const merged = w0.map((w, at) => {
      const [o, i] = [Math.floor(at / 6), at % 6];
      return w + 1.5 * (lora.b[o * 2] * lora.a[i] + lora.b[o * 2 + 1] * lora.a[6 + i]);
    });
    const y = loraForward(x, w0, lora, dims);
    expect(maxAbs(y, linear(x, merged, dims))).toBeLessThan(1e-12);
  });
  test('LoRA backward', () => {
    const loss = () => dot(loraForward(x, w0, lora, dims), dy);
    const g = loraBackward(dy, x, w0, lora, dims);
    expect(gradientError(loss, x, g.dx)).toBeLessThan(TOLERANCE);
    expect(gradientError(loss, lora.a, g.da)).toBeLessThan(TOLERANCE);
    expect(gradientError(loss, lora.b, g.db)).toBeLessThan(TOLERANCE);
  });
  test('DoRA backward, the norm held fixed', () => {
    const norm = doraNorm(w0, lora, dims);
    const loss = () => dot(doraForward(x, w0, lora, norm, dims), dy);
    const g = doraBackward(dy, x, w0, lora, norm, dims);
    expect(gradientError(loss, x, g.dx)).toBeLessThan(TOLERANCE);
    expect(gradientError(loss, lora.a, g.da)).toBeLessThan(TOLERANCE);
    expect(gradientError(loss, lora.b, g.db)).toBeLessThan(TOLERANCE);
    expect(gradientError(loss, lora.magnitude!, g.dMagnitude)).toBeLessThan(TOLERANCE);
  });
  test('DoRA with magnitude = norm is LoRA', () => {
    const norm = doraNorm(w0, lora, dims);
    const y = doraForward(x, w0, { ...lora, magnitude: norm }, norm, dims);
    expect(maxAbs(y, loraForward(x, w0, lora, dims))).toBeLessThan(1e-12);
  });
});

test('RMSNorm backward', () => {
  const rng = createRng(3);
  const x = rng.normals(21);
  const weight = rng.normals(7);
  const dy = rng.normals(21);
  const loss = () => dot(rmsNorm(x, weight, 3, 7, 1e-3), dy);
  expect(gradientError(loss, x, rmsNormBackward(dy, x, weight, 3, 7, 1e-3))).toBeLessThan(TOLERANCE);
});

test('SwiGLU backward', () => {
  const rng = createRng(4);
  const [gate, up, dy] = [rng.normals(12), rng.normals(12), rng.normals(12)];
  const loss = () => dot(swiglu(gate, up), dy);
  const { dGate, dUp } = swigluBackward(dy, gate, up);
  expect(gradientError(loss, gate, dGate)).toBeLessThan(TOLERANCE);
  expect(gradientError(loss, up, dUp)).toBeLessThan(TOLERANCE);
});

describe('RoPE', () => {
  const llama3 = { type: 'llama3' as const, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPosition: 8192 };
  const near = (inv: Float64Array, expected: Record<number, number>) => {
    for (const [d, value] of Object.entries(expected)) {
      expect(Math.abs(inv[Number(d)] / value - 1), `inv_freq[${d}]`).toBeLessThan(1e-6);
    }
  };
  test('llama3 scaling of Llama-3.2-1B', () => {
    near(ropeInvFreq(64, 500_000, { ...llama3, factor: 32 }), {
      0: 1,
      1: 0.663601238,
      14: 0.00321144599,
      15: 0.00129054793,
      16: 0.000429556797,
      17: 9.7082878e-5,
      18: 1.94616382e-5,
      31: 9.41830673e-8,
    });
  });
  test('llama3 scaling of Llama-3.1-8B', () => {
    near(ropeInvFreq(128, 500_000, { ...llama3, factor: 8 }), {
      26: 0.00483942135,
      28: 0.00321144599,
      29: 0.00216657076,
      33: 0.00031269375,
      34: 0.000178507813,
      35: 9.55621235e-5,
      63: 3.06892599e-7,
    });
  });
  test('linear scaling divides every frequency', () => {
    const plain = ropeInvFreq(8, 10_000);
    near(ropeInvFreq(8, 10_000, { type: 'linear', factor: 4 }), { 0: plain[0] / 4, 3: plain[3] / 4 });
  });
  test('rotates pairs (d, d + headDim/2) by position · inv_freq, and backward undoes it', () => {
    const rng = createRng(5);
    const inv = ropeInvFreq(4, 10_000);
    const positions = [0, 3, 9];
    const x = rng.normals(24);
    const dy = rng.normals(24);
    const y = rope(x, positions, inv, 2);
    expect(y.slice(0, 8)).toEqual(x.slice(0, 8));
    const at = 2 * 8 + 4 + 1; // token 2, head 1, d = 1
    const angle = Math.fround(9 * inv[1]);
    expect(y[at]).toBeCloseTo(x[at] * Math.cos(angle) - x[at + 2] * Math.sin(angle), 12);
    expect(y[at + 2]).toBeCloseTo(x[at + 2] * Math.cos(angle) + x[at] * Math.sin(angle), 12);
    const loss = () => dot(rope(x, positions, inv, 2), dy);
    expect(gradientError(loss, x, ropeBackward(dy, positions, inv, 2))).toBeLessThan(TOLERANCE);
  });
});

describe('attention', () => {
  // Two pairs: prefix 3 + runs 2 and 3; no prefix at all, runs 1 and 2.
  const layout: PackedLayout = {
    runs: [
      { start: 0, end: 3, prefixStart: 0, prefixEnd: 0 },
      { start: 3, end: 5, prefixStart: 0, prefixEnd: 3 },
      { start: 5, end: 8, prefixStart: 0, prefixEnd: 3 },
      { start: 8, end: 9, prefixStart: 8, prefixEnd: 8 },
      { start: 9, end: 11, prefixStart: 8, prefixEnd: 8 },
    ],
  };
  const dims = { tokens: 11, heads: 4, kvHeads: 2, headDim: 3 };
  const rng = createRng(6);
  const q = rng.normals(11 * 12);
  const k = rng.normals(11 * 6);
  const v = rng.normals(11 * 6);
  const dO = rng.normals(11 * 12);

  test('positions continue the prefix', () => {
    expect([...positionsOf(layout, 11)]).toEqual([0, 1, 2, 3, 4, 3, 4, 5, 0, 0, 1]);
  });
  test('equals a masked softmax written out, head by head', () => {
    const allowed = (t: number, j: number) => {
      const run = layout.runs.find((r) => t >= r.start && t < r.end)!;
      return (j >= run.prefixStart && j < run.prefixEnd) || (j >= run.start && j <= t);
    };
    const { o, lse } = attention(q, k, v, layout, dims);
    for (let t = 0; t < 11; t++) {
      for (let h = 0; h < 4; h++) {
        const kvHead = h < 2 ? 0 : 1;
        const e = Array.from({ length: 11 }, (_, j) => {
          let s = 0;
          for (let d = 0; d < 3; d++) s += q[t * 12 + h * 3 + d] * k[j * 6 + kvHead * 3 + d];
          return allowed(t, j) ? Math.exp(s / Math.sqrt(3)) : 0;
        });
        const sum = e.reduce((a, b) => a + b, 0);
        expect(lse[t * 4 + h]).toBeCloseTo(Math.log(sum), 10);
        for (let d = 0; d < 3; d++) {
          const value = e.reduce((a, p, j) => a + (p / sum) * v[j * 6 + kvHead * 3 + d], 0);
          expect(o[t * 12 + h * 3 + d]).toBeCloseTo(value, 10);
        }
      }
    }
  });
  test('backward', () => {
    const loss = () => dot(attention(q, k, v, layout, dims).o, dO);
    const g = attentionBackward(dO, q, k, v, attention(q, k, v, layout, dims), layout, dims);
    expect(gradientError(loss, q, g.dq)).toBeLessThan(TOLERANCE);
    expect(gradientError(loss, k, g.dk)).toBeLessThan(TOLERANCE);
    expect(gradientError(loss, v, g.dv)).toBeLessThan(TOLERANCE);
  });
});

test('head: log-probabilities and dH, with two entries on one row and rows without any', () => {
  const dims = { tokens: 4, hidden: 5, vocab: 9 };
  const rng = createRng(8);
  const h = rng.normals(20);
  const w = rng.normals(45);
  const entries = [
    { row: 0, target: 3 },
    { row: 2, target: 8 },
    { row: 2, target: 0 },
  ];
  const weights = Float64Array.from([0.3, 0.7, -0.2]);
  const { logps, lse } = headForward(h, w, entries, dims);
  let sum = 0;
  for (let target = 0; target < 9; target++) sum += Math.exp(headForward(h, w, [{ row: 0, target }], dims).logps[0]);
  expect(sum).toBeCloseTo(1, 12);
  expect(logps.every((lp) => lp < 0)).toBe(true);
  expect([...lse].map(Number.isNaN)).toEqual([false, true, false, true]);
  const loss = () => -dot(headForward(h, w, entries, dims).logps, weights);
  expect(gradientError(loss, h, headBackward(h, w, entries, weights, dims))).toBeLessThan(TOLERANCE);
});
