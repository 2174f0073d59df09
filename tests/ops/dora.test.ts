import { describe, expect, it } from 'vitest';
import { type DoraModule, doraBackward, doraScale } from '../../src/ops/dora';
import type { WeightFormat } from '../../src/ops/weight';
import { doraBackward as backwardReference, doraNorm, loraForward } from '../reference/lora';
import { createRng } from '../reference/rng';
import { relativeL2 } from '../support/close';
import { cmd, input, output, profileCases, randomWeight, read, run } from './support';

const rank = 8;
const loraScale = 1.7;

/** A module in a slab between other values, and its parts. */
function module(seed: number, inputs: number, outputs: number) {
  const rng = createRng(seed);
  const a = rng.normals(rank * inputs, 0.3);
  const b = rng.normals(outputs * rank, 0.3);
  const magnitude = rng.uniforms(outputs, 0.5, 2);
  const lead = 12;
  const slab = new Float64Array(lead + a.length + b.length + outputs + 4).fill(99);
  slab.set(a, lead);
  slab.set(b, lead + a.length);
  slab.set(magnitude, lead + a.length + b.length);
  const at = { a: lead, b: lead + a.length, magnitude: lead + a.length + b.length };
  const on = (scale: Float64Array, factors: number, inverses: number): DoraModule => ({
    ...at,
    slab: input(slab),
    rank,
    loraScale,
    scale: input(scale),
    factors,
    inverses,
  });
  return { rng, a, b, magnitude, slab, at, on };
}

describe.each(profileCases)('DoRA, %s', (_, profile) => {
  const cases: [WeightFormat, number, number, number][] = [
    ['F32', 36, 20, 2 ** 27],
    ['BF16', 64, 48, 2 ** 27],
    ['F16', 132, 8, 2 ** 27],
    ['NF4', 192, 64, 2 ** 27],
    ['NF4', 64, 256, 64 * 40],
  ];
  it.each(cases)('factors of a %s weight [%i inputs, %i outputs], bindings of %i bytes', async (...args) => {
    const [format, inFeatures, outFeatures, bindingLimit] = args;
    const m = module(inFeatures, inFeatures, outFeatures);
    const { weight, values } = randomWeight(m.rng, outFeatures, inFeatures, { format, bindingLimit });
    expect(weight.parts.length > 1).toBe(bindingLimit < 2 ** 27);
    const lora = { a: m.a, b: m.b, rank, scale: loraScale, magnitude: m.magnitude };
    const norm = doraNorm(values, lora, { tokens: 0, inFeatures, outFeatures });
    const empty = new Float64Array(2 * outFeatures + 8).fill(-3);
    const on = m.on(empty, 4, 8 + outFeatures);
    await run(() => doraScale(cmd, profile, weight, on));
    const scale = await read(on.scale);
    const c = m.magnitude.map((x, i) => x / norm[i]);
    expect(relativeL2(scale.subarray(4, 4 + outFeatures), c)).toBeLessThan(1e-6);
    const inverses = scale.subarray(8 + outFeatures);
    expect(
      relativeL2(
        inverses,
        norm.map((x) => 1 / x),
      ),
    ).toBeLessThan(1e-6);
    expect([...scale.subarray(0, 4), ...scale.subarray(4 + outFeatures, 8 + outFeatures)]).toEqual(Array(8).fill(-3));
    expect(await read(on.slab)).toEqual(Float32Array.from(m.slab));
    // Without the low-rank part the norm is another one: the check would see that.
    const plain = doraNorm(values, { ...lora, scale: 0 }, { tokens: 0, inFeatures, outFeatures });
    expect(relativeL2(plain, norm)).toBeGreaterThan(1e-3);

    await run(() => doraScale(cmd, profile, weight, on, true));
    const started = await read(on.slab);
    expect(relativeL2(started.subarray(m.at.magnitude, m.at.magnitude + outFeatures), norm)).toBeLessThan(1e-6);
    for (const x of (await read(on.scale)).subarray(4, 4 + outFeatures)) expect(x).toBeCloseTo(1, 6);
    const rest = [...started.keys()].filter((i) => i < m.at.magnitude || i >= m.at.magnitude + outFeatures);
    expect(rest.every((i) => started[i] === Math.fround(m.slab[i]))).toBe(true);
  });

  it.each([
    [1, 20, 'dy', false],
    [37, 68, 'dy', true],
    [37, 68, 'y', true],
    [200, 12, 'y', false],
  ] as const)('gradient over %i tokens of %i columns into %s (accumulate %s)', async (tokens, columns, into, add) => {
    const inFeatures = 24;
    const m = module(tokens + columns, inFeatures, columns);
    const dims = { tokens, inFeatures, outFeatures: columns };
    const [x, w, dy] = [tokens * inFeatures, columns * inFeatures, tokens * columns].map((n) => m.rng.normals(n));
    const lora = { a: m.a, b: m.b, rank, scale: loraScale, magnitude: m.magnitude };
    const norm = doraNorm(w, lora, dims);
    const expected = backwardReference(dy, x, w, lora, norm, dims).dMagnitude!;
    const inner = loraForward(x, w, lora, dims);
    const c = m.magnitude.map((v, i) => v / norm[i]);
    const scale = Float64Array.from([...c, ...norm.map((n) => 1 / n)]);
    // dy has rows of `columns + 8` values, 4 of them before the first.
    const ld = columns + 8;
    const wide = new Float64Array(tokens * ld).fill(55);
    for (let i = 0; i < dy.length; i++) wide[Math.floor(i / columns) * ld + 4 + (i % columns)] = dy[i];
    const dyView = input(wide);
    const yView = input(inner);
    const before = m.rng.normals(m.slab.length);
    const grad = add ? input(before) : output(m.slab.length);
    const on = m.on(scale, 0, columns);
    const rows = [
      { view: dyView, ld, offset: 4 },
      { view: yView, ld: columns },
    ] as const;
    await run(() => doraBackward(cmd, profile, tokens, columns, on, ...rows, grad, { into, accumulate: add }));
    const at = m.at.magnitude;
    const result = (await read(grad)).subarray(at, at + columns);
    expect(
      relativeL2(
        result,
        expected.map((g, i) => g + (add ? before[at + i] : 0)),
      ),
    ).toBeLessThan(2e-6);
    const scaled = dy.map((g, i) => g * c[i % columns]);
    const outWide = await read(dyView);
    const outDense = await read(yView);
    const gathered = dy.map((_, i) => outWide[Math.floor(i / columns) * ld + 4 + (i % columns)]);
    expect(relativeL2(into === 'y' ? outDense : gathered, scaled)).toBeLessThan(1e-6);
    expect(relativeL2(into === 'y' ? gathered : outDense, into === 'y' ? dy : inner)).toBeLessThan(1e-6);
    expect(outWide.filter((v) => v === 55).length).toBe(tokens * 8);
  });
});
