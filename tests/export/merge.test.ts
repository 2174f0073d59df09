import { describe, expect, it } from 'vitest';
import { cpuMerger, mergeLora } from '../../src/export/merge';
import { memorySource } from '../../src/formats/bytes';
import { baseWeightName, loraKey, readAdapter } from '../../src/formats/peft';
import { fixture } from '../support/files';

const random = (n: number, seed: number) =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(seed * 97 + i * i * 0.37));

describe('mergeLora', () => {
  const [range, r, scale] = [{ firstRow: 0, rows: 5, columns: 7 }, 3, 1.5];
  const [w, a, b] = [random(35, 1), random(21, 2), random(15, 3)];
  const exact = (o: number, i: number) => {
    let sum = 0;
    for (let k = 0; k < r; k++) sum += b[o * r + k] * a[k * 7 + i];
    return w[o * 7 + i] + scale * sum;
  };

  it('adds s * B @ A to the weight', () => {
    const merged = mergeLora(w.slice(), range, { a, b, r, scale });
    for (let o = 0; o < 5; o++) for (let i = 0; i < 7; i++) expect(merged[o * 7 + i]).toBeCloseTo(exact(o, i), 6);
    expect(mergeLora(w.slice(), range, { a, b: new Float32Array(15), r, scale })).toEqual(w);
  });

  it('merges some rows as it does all', () => {
    const magnitude = Float32Array.of(1, 2, 0.5, 3, 4);
    for (const more of [{}, { magnitude }]) {
      const whole = mergeLora(w.slice(), range, { a, b, r, scale, ...more });
      const part = mergeLora(w.slice(14, 28), { firstRow: 2, rows: 2, columns: 7 }, { a, b, r, scale, ...more });
      expect(part).toEqual(whole.subarray(14, 28));
    }
  });

  it('gives each row of a DoRA weight its magnitude as norm', () => {
    const magnitude = Float32Array.of(1, 2, 0.5, 3, 4);
    const merged = mergeLora(w.slice(), range, { a, b, r, scale, magnitude });
    for (let o = 0; o < 5; o++) {
      expect(Math.hypot(...merged.subarray(o * 7, o * 7 + 7))).toBeCloseTo(magnitude[o], 5);
      expect(merged[o * 7] / merged[o * 7 + 3]).toBeCloseTo(exact(o, 0) / exact(o, 3), 4);
    }
  });

  it('refuses matrices that do not fit', () => {
    expect(() => mergeLora(w.slice(), { firstRow: 0, rows: 7, columns: 5 }, { a, b, r, scale })).toThrow(RangeError);
    expect(() => mergeLora(w.slice(), range, { a, b, r: 2, scale })).toThrow(RangeError);
  });
});

it('finds the matrices of each weight of a PEFT adapter', async () => {
  const adapter = await readAdapter(
    memorySource(await fixture('tests/goldens/stories-260k-lora/adapter_model.safetensors')),
  );
  const merger = cpuMerger(adapter, 2);
  const name = baseWeightName(2, 'v_proj');
  expect(merger.has(name)).toBe(true);
  expect(merger.has('model.embed_tokens.weight')).toBe(false);
  const zeros = { firstRow: 0, rows: 32, columns: 64, format: 'F32', bytes: new Uint8Array(4 * 32 * 64) } as const;
  const delta = new Float32Array((await merger.merge(name, zeros, 'F32')).buffer);
  const [a, b] = (['A', 'B'] as const).map(
    (part) => adapter.get(loraKey({ layer: 2, module: 'v_proj', part }))!.values,
  );
  let sum = 0;
  for (let k = 0; k < 8; k++) sum += b[5 * 8 + k] * a[k * 64 + 9];
  expect(delta[5 * 64 + 9]).toBeCloseTo(2 * sum, 9);
  expect(sum).not.toBe(0);
});
