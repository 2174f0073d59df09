import { describe, expect, test } from 'vitest';
import { maxAbs, relativeL2 } from '../support/close';
import { AdamW, type AdamWKind, clipGradNorm, nearestCode, SIGNED_MAP, UNSIGNED_MAP } from './adamw';
import { createRng } from './rng';
import { lrFactor, totalSteps, warmupSteps } from './schedule';

const base = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 };

function run(kind: AdamWKind, weightDecay: number, size: number, steps = 5) {
  const rng = createRng(21);
  const p = rng.normals(size);
  const optimizer = new AdamW({ ...base, kind, weightDecay });
  for (let i = 0; i < steps; i++) {
    optimizer.step(new Map([['p', p]]), new Map([['p', rng.normals(size)]]), 0.01);
  }
  return { p, optimizer };
}

describe('AdamW', () => {
  test('the first step is lr · sign(g), whatever the size of g', () => {
    for (const kind of ['adamw_torch', 'adamw_bnb_32bit', 'adamw_8bit'] as const) {
      const p = Float64Array.from([1, 1, 1]);
      const optimizer = new AdamW({ ...base, kind });
      optimizer.step(new Map([['p', p]]), new Map([['p', Float64Array.from([3, -0.001, 0])]]), 0.1);
      expect(p[0]).toBeCloseTo(0.9, 5);
      expect(p[1]).toBeCloseTo(1.1, 5);
      expect(p[2]).toBe(1);
    }
  });
  test('two torch steps by hand', () => {
    const p = Float64Array.from([0.5]);
    const optimizer = new AdamW({ ...base, kind: 'adamw_torch', weightDecay: 0.1 });
    for (const g of [2, -1]) optimizer.step(new Map([['p', p]]), new Map([['p', Float64Array.from([g])]]), 0.01);
    // step 1: p = 0.5·0.999 - 0.01; step 2: m = 0.9·0.2 - 0.1 = 0.08, v = 0.999·0.004 + 0.001 = 0.004996.
    const first = 0.5 * 0.999 - (0.01 * 2) / (2 + 1e-8);
    const second = first * 0.999 - (0.01 * (0.08 / 0.19)) / (Math.sqrt(0.004996 / (1 - 0.999 ** 2)) + 1e-8);
    expect(p[0]).toBeCloseTo(second, 12);
  });
  test('bnb 32-bit is torch without weight decay, and decays after the update with it', () => {
    expect(relativeL2(run('adamw_bnb_32bit', 0, 50).p, run('adamw_torch', 0, 50).p)).toBeLessThan(1e-12);
    const torch = run('adamw_torch', 0.1, 50, 1).p;
    const bnb = run('adamw_bnb_32bit', 0.1, 50, 1).p;
    const before = createRng(21).normals(50);
    const undecayed = run('adamw_torch', 0, 50, 1).p;
    expect(
      maxAbs(
        bnb,
        undecayed.map((p) => p * 0.999),
      ),
    ).toBeLessThan(1e-12);
    expect(
      maxAbs(
        torch,
        undecayed.map((p, i) => p - before[i] * 0.001),
      ),
    ).toBeLessThan(1e-12);
  });
  test('8-bit: small tensors keep 32-bit states, large ones follow them closely but not exactly', () => {
    expect(run('adamw_8bit', 0, 4095).p).toEqual(run('adamw_bnb_32bit', 0, 4095).p);
    const exact = run('adamw_bnb_32bit', 0, 4200).p;
    const start = createRng(21).normals(4200);
    const { p, optimizer } = run('adamw_8bit', 0, 4200);
    const move = (end: Float64Array) => end.map((value, i) => value - start[i]);
    const error = relativeL2(move(p), move(exact));
    expect(error).toBeGreaterThan(1e-5);
    expect(error).toBeLessThan(0.1);
    const { m, v, blocks } = optimizer.state('p')!;
    expect(blocks!.absmaxM.length).toBe(17);
    expect(m[4100]).toBe(SIGNED_MAP[blocks!.codesM[4100]] * blocks!.absmaxM[16]);
    expect(v[4100]).toBe(UNSIGNED_MAP[blocks!.codesV[4100]] * blocks!.absmaxV[16]);
  });
  test('8-bit: a tiny negative moment keeps its sign', () => {
    const g = new Float64Array(4096).fill(1);
    g[5] = -1e-12;
    const optimizer = new AdamW({ ...base, kind: 'adamw_8bit' });
    optimizer.step(new Map([['p', new Float64Array(4096)]]), new Map([['p', g]]), 0.1);
    expect(optimizer.state('p')!.m[5]).toBeLessThan(0);
  });
  test('nearest code', () => {
    expect(SIGNED_MAP[127]).toBe(0);
    for (const i of [0, 1, 100, 127, 128, 254, 255]) {
      expect(nearestCode(SIGNED_MAP, SIGNED_MAP[i])).toBe(i);
      expect(nearestCode(UNSIGNED_MAP, UNSIGNED_MAP[i])).toBe(i);
    }
    expect(nearestCode(SIGNED_MAP, -1)).toBe(0);
    expect(nearestCode(SIGNED_MAP, 0.99999)).toBe(255);
  });
});

test('clipping by the global norm', () => {
  const grads = [Float64Array.from([3]), Float64Array.from([0, 4])];
  expect(clipGradNorm(grads, 10)).toBe(5);
  expect(grads[0][0]).toBe(3);
  expect(clipGradNorm(grads, 1)).toBe(5);
  expect(grads[1][1]).toBeCloseTo(0.8, 6);
});

test('schedules', () => {
  expect(totalSteps(96, 2, 2, 1)).toBe(24);
  expect(totalSteps(990, 2, 4, 1)).toBe(124);
  expect(totalSteps(5, 2, 2, 3)).toBe(6);
  expect(totalSteps(5, 2, 2, 3, 4)).toBe(4);
  expect(warmupSteps(0.1, 124)).toBe(13);
  expect(warmupSteps(10, 124)).toBe(10);
  expect(lrFactor('linear', 0, 4, 24)).toBe(0);
  expect(lrFactor('linear', 1, 4, 24)).toBe(0.25);
  expect(lrFactor('linear', 14, 4, 24)).toBe(0.5);
  expect(lrFactor('linear', 0, 0, 24)).toBe(1);
  expect(lrFactor('cosine', 14, 4, 24)).toBeCloseTo(0.5, 12);
  expect(lrFactor('constant', 0, 4, 24)).toBe(1);
  expect(lrFactor('constant_with_warmup', 2, 4, 24)).toBe(0.5);
  expect(lrFactor('constant_with_warmup', 20, 4, 24)).toBe(1);
  expect(lrFactor('inverse_sqrt', 16, 4, 24)).toBe(0.5);
});
