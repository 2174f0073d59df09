/** Global gradient norm, clipping and AdamW against float64, over several steps and over gradients that are not finite. */
import { describe, expect, test } from 'vitest';
import type { View } from '../../src/gpu/commands';
import { type AdamwSettings, adamw } from '../../src/ops/adamw';
import { gradientNorm, partialCount } from '../../src/ops/gradient_norm';
import { AdamW, clipGradNorm } from '../reference/adamw';
import { createRng } from '../reference/rng';
import { cmd, EPS, expectWithin, gpuProfiles, input, output, profiles, read, run } from './support';

/** Longer than one stretch of 16,384 values, not a multiple of anything. */
const LENGTHS = [20_001, 12, 16_384];

const slabsOf = (values: readonly Float64Array[]) => values.map((v) => ({ view: input(v), length: v.length }));

describe.each(Object.entries({ '4 threads': profiles.direct, '128 threads': gpuProfiles['GPU, small tile'] }))(
  'gradient norm, %s',
  (name, profile) => {
    const rng = createRng(name.length);
    const grads = LENGTHS.map((n) => rng.normals(n, 0.01));

    async function norm(values: readonly Float64Array[], maxNorm: number): Promise<Float32Array> {
      const result = output(4);
      const partials = output(partialCount(values.map((v) => v.length)));
      await run(() => gradientNorm(cmd, profile, slabsOf(values), partials, result, maxNorm));
      return read(result);
    }

    // A thread adds up 16,384 / threads squares, then the partial sums come together; the root keeps half the error.
    const relative = ((16_384 / profile.rowThreads + 16) / 2) * EPS;

    test.each([
      ['clips', 0.5],
      ['leaves a small norm alone', 100],
      ['is off at 0', 0],
    ])('clipping %s', async (_, maxNorm) => {
      const expected = clipGradNorm(
        grads.map((g) => g.slice()),
        0,
      );
      const [total, factor] = await norm(grads, maxNorm);
      expectWithin([total], [expected], [relative * expected]);
      const wanted = maxNorm > 0 ? Math.min(1, maxNorm / (expected + 1e-6)) : 1;
      expectWithin([factor], [wanted], [wanted < 1 ? 2 * relative * wanted : 0]);
      // One value in 36,397 that is four times the norm's typical step away is seen.
      const wrong = grads.map((g) => g.slice());
      wrong[1][11] += 0.5;
      const other = clipGradNorm(wrong, 0);
      expect(() => expectWithin([total], [other], [relative * expected])).toThrow(/times the bound/);
    });

    test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38])(
      '%d anywhere marks the step',
      async (bad) => {
        for (const [slab, at] of [
          [0, 0],
          [0, 20_000],
          [1, 5],
          [2, 16_383],
        ]) {
          const values = grads.map((g) => g.slice());
          values[slab][at] = bad;
          for (const maxNorm of [0, 1]) {
            const [total, factor] = await norm(values, maxNorm);
            expect(Number.isFinite(total)).toBe(false);
            expect(factor).toBe(-1);
          }
        }
      },
    );

    test('after a mark every later step is marked too, until the result is cleared', async () => {
      const result = input(Float64Array.of(0, 0, 0, 0));
      const partials = output(partialCount(LENGTHS));
      const factorOf = async (values: readonly Float64Array[]) => {
        await run(() => gradientNorm(cmd, profile, slabsOf(values), partials, result, 0));
        return (await read(result))[1];
      };
      const bad = [...grads.slice(0, 2), grads[2].map((g, i) => (i === 3 ? Number.NaN : g))];
      expect(await factorOf(grads)).toBe(1);
      expect(await factorOf(bad)).toBe(-1);
      expect(await factorOf(grads)).toBe(-1);
      cmd.clear(result);
      expect(await factorOf(grads)).toBe(1);
    });

    test('all zeros', async () => {
      expect([...(await norm([new Float64Array(40)], 1))].slice(0, 2)).toEqual([0, 1]);
    });
  },
);

const BASE = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };

describe.each(['adamw_torch', 'adamw_bnb_32bit'] as const)('%s', (kind) => {
  const rng = createRng(kind.length);
  const count = 333;

  /** Several steps on the GPU and in float64, with what rounding may do to each parameter. */
  async function steps(settings: AdamwSettings, lrs: number[], clip = 1) {
    const start = rng.normals(count, 0.1);
    const { beta1, beta2, epsilon, weightDecay } = settings;
    const reference = new AdamW({ kind, beta1, beta2, eps: epsilon, weightDecay });
    const params = new Map([['p', start.slice()]]);
    const views = { param: input(start), m: input(new Float64Array(count)), v: input(new Float64Array(count)) };
    const clipView = input(Float64Array.of(7, Math.fround(clip)));
    const bound = new Float64Array(count);
    const size = { m: new Float64Array(count), v: new Float64Array(count) };
    for (const [i, lr] of lrs.entries()) {
      // Gradients of very different sizes; some are zero, as those of padding.
      const grad = rng.normals(count).map((g, j) => Math.fround(j % 7 === 0 ? 0 : g * 10 ** (-(j % 5) * 2)));
      const before = params.get('p')!.slice();
      reference.step(params, new Map([['p', grad.map((g) => g * Math.fround(clip))]]), lr);
      const c1 = 1 - beta1 ** (i + 1);
      const c2 = Math.sqrt(1 - beta2 ** (i + 1));
      for (let j = 0; j < count; j++) {
        const g = grad[j] * Math.fround(clip);
        size.m[j] = beta1 * size.m[j] + (1 - beta1) * Math.abs(g);
        size.v[j] = beta2 * size.v[j] + (1 - beta2) * g * g;
        // m and v each gain five roundings a step (of terms of both signs in m); then root, quotient and step size.
        const update = (lr * size.m[j]) / c1 / (Math.sqrt(size.v[j]) / c2 + epsilon);
        bound[j] += (8 * (i + 1) + 12) * EPS * update + 3 * EPS * (Math.abs(before[j]) + update);
      }
      await run(() => adamw(cmd, settings, { ...views, grad: input(grad), length: count }, clipView, i + 1, lr));
    }
    return { start, views, reference, expected: params.get('p')!, bound, size };
  }

  const moments = async (r: Awaited<ReturnType<typeof steps>>, n: number) => {
    const { m, v } = r.reference.state('p')!;
    expectWithin(
      await read(r.views.m),
      m,
      r.size.m.map((s) => 8 * n * EPS * s),
      'm',
    );
    expectWithin(
      await read(r.views.v),
      v,
      r.size.v.map((s) => 8 * n * EPS * s),
      'v',
    );
  };

  test('several steps, without and with weight decay, clipped', async () => {
    for (const weightDecay of [0, 0.1]) {
      for (const clip of [1, 0.3]) {
        const r = await steps({ kind, ...BASE, weightDecay }, [1e-2, 2e-2, 1e-2, 5e-3], clip);
        expectWithin(await read(r.views.param), r.expected, r.bound, `decay ${weightDecay}, clip ${clip}`);
        await moments(r, 4);
        // 0.01 % of one step, for one parameter of the middle size.
        const wrong = r.expected.slice();
        wrong[1] += 1e-4 * 1e-2;
        const actual = await read(r.views.param);
        expect(() => expectWithin(actual, wrong, r.bound)).toThrow(/times the bound/);
      }
    }
  });

  test('decay comes before the update in torch, after it in bitsandbytes', async () => {
    const r = await steps({ kind, ...BASE, weightDecay: 0.5 }, [0.1, 0.1]);
    const actual = await read(r.views.param);
    expectWithin(actual, r.expected, r.bound);
    const other = kind === 'adamw_torch' ? 'adamw_bnb_32bit' : 'adamw_torch';
    const swapped = new AdamW({ kind: other, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.5 });
    const params = new Map([['p', Float64Array.of(1)]]);
    swapped.step(params, new Map([['p', Float64Array.of(1)]]), 0.1);
    // 1 - 0.1 and 5 % of either 1 or 0.9.
    expect(params.get('p')![0]).toBeCloseTo(other === 'adamw_torch' ? 0.85 : 0.855, 6);
    const one = input(Float64Array.of(1));
    const zeros = () => input(Float64Array.of(0));
    const slab = { param: one, grad: input(Float64Array.of(1)), m: zeros(), v: zeros(), length: 1 };
    await run(() => adamw(cmd, { kind, ...BASE, weightDecay: 0.5 }, slab, input(Float64Array.of(1, 1)), 1, 0.1));
    expect((await read(one, 1))[0]).toBeCloseTo(kind === 'adamw_torch' ? 0.85 : 0.855, 6);
  });

  test('a rate of 0 (the first step of a warm-up) moves the moments only', async () => {
    const r = await steps({ kind, ...BASE, weightDecay: 0.1 }, [0]);
    expect(await read(r.views.param)).toEqual(Float32Array.from(r.start));
    await moments(r, 1);
  });

  test('a negative factor leaves everything as it is', async () => {
    const start = rng.normals(count);
    const poison = new Float64Array(count).fill(Number.NaN);
    const slab: Record<'param' | 'm' | 'v' | 'grad', View> = {
      param: input(start),
      m: input(start),
      v: input(abs2(start)),
      grad: input(poison),
    };
    const settings = { kind, ...BASE, weightDecay: 0.1 };
    await run(() => adamw(cmd, settings, { ...slab, length: count }, input(Float64Array.of(Number.NaN, -1)), 3, 0.1));
    expect(await read(slab.param)).toEqual(Float32Array.from(start));
    expect(await read(slab.m)).toEqual(Float32Array.from(start));
    expect(await read(slab.v)).toEqual(Float32Array.from(abs2(start)));
  });

  test('values beyond the length are not touched', async () => {
    const slab = { param: output(8), m: output(8), v: output(8), grad: input(new Float64Array(8).fill(1)), length: 5 };
    for (const view of [slab.param, slab.m, slab.v]) cmd.upload(view, new Float32Array(5));
    await run(() => adamw(cmd, { kind, ...BASE }, slab, input(Float64Array.of(1, 1)), 1, 0.1));
    const param = [...(await read(slab.param))];
    expect(param.map(Number.isNaN)).toEqual([false, false, false, false, false, true, true, true]);
  });
});

const abs2 = (values: Float64Array) => values.map((v) => Math.fround(v * v));
