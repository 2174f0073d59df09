/** What the tests of kernels share: a queue on the test device, kernel profiles, weights in every format, and bounds. */
import { readFileSync } from 'node:fs';
import { quantizeNf4 } from '../../src/formats/nf4-codec';
import { Commands, type View } from '../../src/gpu/commands';
import { type KernelProfile, type MatmulTile, profileFor } from '../../src/gpu/profile';
import { NF4_TABLE, partRows, scaleWords } from '../../src/model/plan';
import type { Weight, WeightFormat, WeightPart } from '../../src/ops/weight';
import { halfToFloat } from '../reference/load';
import { dequantiseNf4 } from '../reference/nf4';
import type { Rng } from '../reference/rng';
import { checked, download, testDevice, upload } from '../support/gpu';

export const device = await testDevice();
export const cmd = new Commands(device);

/**
 * Largest relative error of one float32 addition or product. WGSL asks for correct rounding but fixes no direction, so
 * a whole unit in the last place rather than half of one.
 */
export const EPS = 2 ** -23;

/** Values below the smallest normal float32 may be flushed to zero. */
export const FLUSHED = 2 ** -126;

const tile = (bm: number, bn: number, bk: number, tm: number, tn: number): MatmulTile => ({ bm, bn, bk, tm, tn });
const tiled = (shape: MatmulTile, attentionTile: number, rowThreads: number): KernelProfile => ({
  tier: 'f32',
  direct: false,
  large: shape,
  small: shape,
  attentionTile,
  rowThreads,
});

/** Both families of kernels: for CPUs, and for GPUs with tiles small enough for SwiftShader and a few threads a row. */
export const profiles: Record<string, KernelProfile> = {
  direct: profileFor(device, true),
  'tiles of 16': tiled(tile(16, 16, 16, 4, 4), 16, 4),
  'tiles of 32': tiled(tile(32, 32, 16, 8, 4), 32, 32),
};

const real = profileFor(device, false);
// Less unrolled: a CPU's driver compiles for minutes otherwise.
const only = (tile: MatmulTile): KernelProfile => {
  const all = { ...tile, unroll: 8 };
  return { ...real, large: all, between: all, medium: all, small: all, tuned: undefined };
};
/** The very tiles that GPUs get, also those that small shapes would not reach. */
export const gpuProfiles: Record<string, KernelProfile> = {
  'GPU, small tile': real,
  'GPU, tile between': only(real.between!),
  'GPU, medium tile': only(real.medium!),
  'GPU, large tile': only(real.large),
};

export const profileCases = Object.entries(profiles);

/** A buffer with these values, as a binding. */
export const input = (values: Parameters<typeof upload>[1]): View => ({ buffer: upload(device, values) });

/** A buffer of `length` values filled with NaN, so that a gap in what a kernel writes shows. */
export const output = (length: number, fill = Number.NaN): View => ({
  buffer: upload(device, new Float32Array(length).fill(fill)),
});

/** Records and runs `work` inside error scopes. */
export async function run(work: () => void, on = cmd): Promise<void> {
  await checked(device, async () => {
    work();
    await on.finish();
  });
}

export const read = (view: View, length?: number): Promise<Float32Array> => download(device, view.buffer, length);

/**
 * Throws unless |actual - expected| <= bound for every element. The bounds come from the rounding errors that an f32
 * computation can make, so they scale with the terms of each sum, not with a figure somebody picked.
 */
export function expectWithin(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: ArrayLike<number>,
  what = 'result',
): void {
  if (expected.length === 0) throw new Error(`${what}: the reference is empty`);
  if (actual.length !== expected.length || bound.length !== expected.length) {
    throw new Error(`${what}: lengths ${actual.length}, ${expected.length}, ${bound.length}`);
  }
  let worst = 0;
  let at = -1;
  for (let i = 0; i < expected.length; i++) {
    const ratio = Math.abs(actual[i] - expected[i]) / Math.max(bound[i], Number.MIN_VALUE);
    if (!(ratio <= worst)) {
      worst = ratio;
      at = i;
      if (Number.isNaN(ratio)) break;
    }
  }
  if (worst <= 1) return;
  throw new Error(
    `${what}: element ${at} of ${expected.length} is ${actual[at]}, expected ${expected[at]}; ` +
      `the difference is ${worst.toPrecision(3)} times the bound ${bound[at].toExponential(2)}`,
  );
}

export const abs = (values: Float64Array): Float64Array => values.map(Math.abs);

/** NF4's 16 values, as bitsandbytes has them. */
const maps = JSON.parse(readFileSync(new URL('../fixtures/bnb_maps.json', import.meta.url), 'utf8'));
const NF4_MAP = Float64Array.from(maps.nf4 as number[], Math.fround);

/** Values and bytes of a random matrix in a format; the values are exactly what the bytes mean. */
function randomMatrix(rng: Rng, count: number, format: WeightFormat, nested: boolean) {
  if (format === 'F32') {
    const values = rng.normals(count, 0.2);
    return { values, bytes: new Uint8Array(Float32Array.from(values).buffer) };
  }
  if (format === 'NF4') {
    const q = quantizeNf4(Float32Array.from(rng.normals(count, 0.2)), { doubleQuant: nested });
    const quantMap = NF4_MAP;
    const values = q.nested
      ? dequantiseNf4({ ...q, quantMap, absmax: q.nested.codes, nested: q.nested })
      : dequantiseNf4({ ...q, quantMap, absmax: q.absmax!, nested: undefined });
    return { values, bytes: q.packed, q };
  }
  const bits = new Uint16Array(count);
  const values = new Float64Array(count);
  const scratch = new DataView(new ArrayBuffer(4));
  for (let i = 0; i < count; i++) {
    const sign = rng.int(2) << 15;
    // Magnitudes between 2^-7 and 1, with random fractions.
    if (format === 'F16') bits[i] = sign | ((8 + rng.int(7)) << 10) | rng.int(1024);
    else bits[i] = sign | ((120 + rng.int(7)) << 7) | rng.int(128);
    scratch.setUint32(0, bits[i] << 16);
    values[i] = format === 'F16' ? halfToFloat(bits[i]) : scratch.getFloat32(0);
  }
  return { values, bytes: new Uint8Array(bits.buffer) };
}

export interface TestWeight {
  weight: Weight;
  /** [rows, columns] */
  values: Float64Array;
}

export interface WeightOptions {
  format?: WeightFormat;
  /** NF4: absmax values quantised again. */
  nested?: boolean;
  /** Bytes of one part, to split a small matrix as a large one would be. */
  bindingLimit?: number;
}

/** A random matrix on the GPU, in one part or several. */
export function randomWeight(rng: Rng, rows: number, columns: number, options: WeightOptions = {}): TestWeight {
  const { format = 'F32', nested = true, bindingLimit = 2 ** 27 } = options;
  const { values, bytes, q } = randomMatrix(rng, rows * columns, format, nested);
  const limits = { maxBufferSize: bindingLimit, maxStorageBufferBindingSize: bindingLimit };
  const parts: WeightPart[] = [];
  let firstRow = 0;
  for (const count of partRows({ name: 'w', rows, columns, format }, limits)) {
    const perRow = bytes.byteLength / rows;
    const data = input(new Uint8Array(bytes.slice(firstRow * perRow, (firstRow + count) * perRow)));
    parts.push({ firstRow, rows: count, data, offset: 0 });
    firstRow += count;
  }
  const weight: Weight = { name: 'w', rows, columns, format, parts };
  if (!q) return { weight, values };
  const words = new Uint32Array(scaleWords(rows * columns, nested));
  const floats = new Float32Array(words.buffer);
  floats.set(NF4_MAP, 256);
  if (q.nested) {
    floats.set(q.nested.map, 0);
    floats.set(q.nested.absmax, NF4_TABLE);
    new Uint8Array(words.buffer).set(q.nested.codes, (NF4_TABLE + q.nested.absmax.length) * 4);
  } else floats.set(q.absmax!, NF4_TABLE);
  const scales = { scales: input(words), nestedBlocks: q.nested?.absmax.length ?? 0, nestedOffset: q.nested?.offset };
  return { weight: { ...weight, ...scales }, values };
}

/**
 * Roundings that reading one weight may add. Only NF4 computes: code * (map * nested + offset), where the compiler may
 * or may not fuse; near its blocks' mean the inner sum's terms are at most a few times the result.
 */
export const readRoundings = (format: WeightFormat): number => (format === 'NF4' ? 8 : 0);
