import { describe, expect, test } from 'vitest';
import { ExpandedWeight } from '../../src/ops/expanded-weight';
import { MatmulOps } from '../../src/ops/matmul';
import type { Weight } from '../../src/ops/weight';
import { createRng } from '../reference/rng';
import { downloadU32, upload } from '../support/gpu';
import { type Case, checkProduct, titled } from './products';
import { cmd, device, EPS, expectWithin, input, output, profiles, randomWeight, read, run } from './support';

const profile = profiles['tiles of 16'];
const buffer = (values: number) => device.createBuffer({ size: 4 * values, usage: 0x80 | 0x04 | 0x08 });

test('values from the place asked for; the same again is not expanded twice', async () => {
  const values = Float32Array.from({ length: 64 * 32 }, (_, i) => Math.fround(Math.sin(i)));
  const words = new Uint32Array(values.buffer);
  // BF16 is the upper half of an f32.
  const bits = Uint32Array.from(
    { length: words.length / 2 },
    (_, i) => (words[2 * i] >>> 16) | (words[2 * i + 1] & 0xffff0000),
  );
  const weight: Weight = { name: 'w', rows: 64, columns: 32, format: 'BF16', parts: [] };
  const part = { firstRow: 0, rows: 64, data: { buffer: upload(device, bits) }, offset: 0 };
  const expanded = new ExpandedWeight(cmd, 'f32', buffer(16 * 32));
  expect(expanded.rows(32)).toBe(16);
  const view = expanded.take(weight, part, 8 * 32, 16 * 32);
  await cmd.finish();
  const actual = await downloadU32(device, view.buffer, 16 * 32);
  expect([...actual]).toEqual([...words.slice(8 * 32, 24 * 32)].map((word) => (word & 0xffff0000) >>> 0));
  const before = cmd.dispatches;
  expanded.take(weight, part, 8 * 32, 16 * 32);
  expect(cmd.dispatches).toBe(before);
  expanded.take(weight, part, 0, 16 * 32);
  expect(cmd.dispatches).toBe(before + 1);
  expanded.forget();
  expanded.take(weight, part, 0, 16 * 32);
  expect(cmd.dispatches).toBe(before + 2);
});

const CASES: Case[] = [
  { direction: 'forward', tokens: 1024, rows: 24, columns: 64, format: 'NF4', nested: true, rank: 4, residual: true },
  {
    direction: 'backward',
    tokens: 1030,
    rows: 24,
    columns: 64,
    format: 'NF4',
    nested: true,
    rank: 4,
    accumulate: true,
  },
  { direction: 'forward', tokens: 1024, rows: 40, columns: 64, format: 'NF4', range: [8, 32], alpha: 0.5 },
  // Blocks of 64 that cross rows.
  { direction: 'backward', tokens: 1024, rows: 32, columns: 24, format: 'NF4' },
];

describe('products of NF4 that is expanded first', () => {
  test.each(titled(CASES))('%s', async (_, c) => {
    const ops = new MatmulOps(cmd, profile, { expanded: new ExpandedWeight(cmd, 'f32', buffer(32 * 64)) });
    const before = cmd.dispatches;
    await checkProduct(profile, c, createRng(c.rows), ops);
    expect(cmd.dispatches - before).toBe(2);
  });

  test.each<[string, Case]>([
    ['few rows', { direction: 'forward', tokens: 1023, rows: 24, columns: 64, format: 'NF4' }],
    ['no NF4', { direction: 'forward', tokens: 1024, rows: 24, columns: 64, format: 'BF16' }],
    ['a weight that has no room', { direction: 'forward', tokens: 1024, rows: 33, columns: 64, format: 'NF4' }],
  ])('not for %s', async (_, c) => {
    const ops = new MatmulOps(cmd, profile, { expanded: new ExpandedWeight(cmd, 'f32', buffer(32 * 64)) });
    const before = cmd.dispatches;
    await checkProduct(profile, c, createRng(c.rows), ops);
    expect(cmd.dispatches - before).toBe(1);
  });

  test('the gradients of several in one product are what their products add up to', async () => {
    const rng = createRng(9);
    const [m, columns] = [1024, 64];
    const weights = [32, 16].map((rows) => randomWeight(rng, rows, columns, { format: 'NF4' }).weight);
    const dy = { view: input(rng.normals(m * 48)), ld: 48 };
    const u = { view: input(rng.normals(m * 8)), ld: 8 };
    const lora = { u, v: { view: input(rng.normals(8 * columns, 0.5)), ld: columns }, rank: 8 };
    const [together, apart] = [output(m * columns), output(m * columns)];
    const ops = new MatmulOps(cmd, profile, { expanded: new ExpandedWeight(cmd, 'f32', buffer(48 * 64)) });
    const plain = new MatmulOps(cmd, profile);
    await run(() => {
      expect(ops.backwardStacked(weights, m, dy, { view: together, ld: columns }, { lora })).toBe(true);
      plain.backward(weights[0], m, dy, { view: apart, ld: columns }, { lora });
      plain.backward(weights[1], m, { ...dy, offset: 32 }, { view: apart, ld: columns }, { accumulate: true });
    });
    const expected = await read(apart);
    const largest = Math.max(...expected.map(Math.abs));
    expectWithin(
      await read(together),
      expected,
      expected.map(() => 64 * EPS * largest),
    );
    const before = cmd.dispatches;
    const tight = new MatmulOps(cmd, profile, { expanded: new ExpandedWeight(cmd, 'f32', buffer(47 * 64)) });
    expect(tight.backwardStacked(weights, m, dy, { view: together, ld: columns })).toBe(false);
    expect(ops.backwardStacked(weights, m - 1, dy, { view: together, ld: columns })).toBe(false);
    expect(cmd.dispatches).toBe(before);
  });
});
