import { describe, expect, it } from 'vitest';
import {
  assertReadableQuantization,
  dequantizeWeight,
  isNf4,
  nf4State,
  nf4Tensors,
  QuantizationError,
  weightNames,
} from '../../src/formats/bnb-nf4';
import { memoryFiles, memorySource } from '../../src/formats/bytes';
import { Checkpoint } from '../../src/formats/checkpoint';
import { asFloat32Array, bf16ToF32, decodeFloats, f32ToBf16 } from '../../src/formats/float';
import {
  dequantizeAbsmax,
  dynamicMap,
  NF4_CODE,
  NF4_THRESHOLDS,
  nearestInMap,
  quantizeNf4,
} from '../../src/formats/nf4-codec';
import { parseSafetensorsHeader, serializeSafetensorsHeader, type TensorSpec } from '../../src/formats/safetensors';
import { fixture, folderFiles, repositoryPath } from '../support/files';

const openFolder = async (path: string) => Checkpoint.open(await folderFiles(repositoryPath(path)));

/** Every stored tensor of one quantised weight against what quantising gives; returns the number of tensors. */
async function compareStored(stored: Checkpoint, name: string, values: Float32Array, shape: readonly number[]) {
  const rounded = bf16ToF32(f32ToBf16(values));
  const tensors = nf4Tensors(name, quantizeNf4(rounded), shape, 'bfloat16');
  for (const { name: key, bytes, dtype, shape: size } of tensors) {
    expect(stored.tensor(key)).toMatchObject({ dtype, shape: size });
    expect(Buffer.compare(bytes, await stored.read(key)), key).toBe(0);
  }
  return tensors.length;
}

describe('quantising gives the bytes of bitsandbytes', () => {
  it('for every quantised tensor of stories-260k', async () => {
    const source = await openFolder('public/models/stories-260k');
    const stored = await openFolder('tests/fixtures/models/stories-260k-bnb-4bit');
    let [tensors, weights] = [0, 0];
    for (const name of weightNames(stored)) {
      if (!isNf4(stored, name)) continue;
      const { dtype, shape } = source.tensor(name);
      tensors += await compareStored(stored, name, decodeFloats(await source.read(name), dtype as 'F32'), shape);
      weights++;
    }
    expect([weights, tensors]).toEqual([35, 210]);
  });

  it('for a tensor whose nested offset shows that the mean is a product with the reciprocal', async () => {
    const bytes = await fixture('tests/fixtures/models/pocket-15m-v_proj.safetensors');
    const { tensors } = await parseSafetensorsHeader(memorySource(bytes), 'v_proj');
    const [{ name, begin, end, shape }] = tensors.values();
    const stored = await openFolder('public/models/pocket-15m-bnb-4bit');
    expect(await compareStored(stored, name, decodeFloats(bytes.subarray(begin, end), 'BF16'), shape)).toBe(6);
  });
});

describe('maps', () => {
  it('has the thresholds of the specification', () => {
    const literals = [
      ...[-0.8480964004993439, -0.6106329262256622, -0.4599952697753906, -0.33967943489551544, -0.23460740596055984],
      ...[-0.13791173323988914, -0.045525018125772476, 0.03979014977812767, 0.1202552504837513, 0.2035212516784668],
      ...[0.2920137718319893, 0.3893125355243683, 0.5016634166240692, 0.6427869200706482, 0.8614784181118011],
    ];
    expect(NF4_THRESHOLDS).toEqual(Float32Array.from(literals));
  });

  it('builds the map that checkpoints carry', async () => {
    const stored = await openFolder('tests/fixtures/models/stories-260k-bnb-4bit');
    const bytes = await stored.read('model.layers.0.mlp.up_proj.weight.nested_quant_map');
    expect(dynamicMap(true)).toEqual(asFloat32Array(bytes));
    const unsigned = dynamicMap(false);
    expect([unsigned.length, unsigned[0], unsigned[255]]).toEqual([256, 0, 1]);
  });

  it('finds the nearest value, by brute force', () => {
    const map = dynamicMap(true);
    for (let i = -1100; i <= 1100; i++) {
      const x = Math.fround(i / 1000 + 1e-7);
      const distances = map.map((v) => Math.abs(v - x));
      expect(Math.abs(map[nearestInMap(map, x)] - x)).toBeCloseTo(Math.min(...distances), 7);
    }
    expect(nearestInMap(map, Number.NaN)).toBe(0);
    for (let i = 0; i < 256; i++) expect(nearestInMap(map, map[i])).toBe(i);
  });
});

describe('reading', () => {
  it('dequantises within half a step of the source', async () => {
    const source = await openFolder('public/models/stories-260k');
    const stored = await openFolder('tests/fixtures/models/stories-260k-bnb-4bit');
    const name = 'model.layers.2.mlp.down_proj.weight';
    const state = await nf4State(stored, name);
    expect(state).toMatchObject({ shape: [64, 172], blocksize: 64, dtype: 'bfloat16', absmax: null });
    const absmax = dequantizeAbsmax(state);
    const weight = await dequantizeWeight(stored, state);
    const exact = asFloat32Array(await source.read(name));
    for (let i = 0; i < weight.length; i++) {
      // Half the widest gap between codes is 0.152; 8-bit block maxima and bf16 add a little.
      expect(Math.abs(weight[i] - exact[i])).toBeLessThan(0.17 * absmax[Math.floor(i / 64)]);
    }
    const values = new Set(Array.from(weight.subarray(0, 64), (w) => Math.round((w / absmax[0]) * 1e5) / 1e5));
    const codes = new Set(Array.from(NF4_CODE, (c) => Math.round(c * 1e5) / 1e5 + 0));
    for (const v of values) expect(codes).toContain(v + 0);
  });

  const values = Float32Array.from({ length: 4 * 96 }, (_, i) => Math.sin(i * i) * (1 + (i >> 6)));
  const shape = [4, 96];
  type Edit = (tensors: ReturnType<typeof nf4Tensors>) => ReturnType<typeof nf4Tensors>;
  const model = (doubleQuant: boolean, edit: Edit = (t) => t, config: object = {}) => {
    const tensors = edit(nf4Tensors('w', quantizeNf4(values, { doubleQuant }), shape, 'float16'));
    const layout = serializeSafetensorsHeader(tensors as TensorSpec[]);
    const bytes = new Uint8Array(layout.size);
    bytes.set(layout.header);
    for (const t of layout.tensors) bytes.set(tensors.find((x) => x.name === t.name)!.bytes, t.begin);
    return Checkpoint.open(memoryFiles({ 'config.json': JSON.stringify(config), 'model.safetensors': bytes }));
  };

  it('reads states with and without double quantisation', async () => {
    const [single, double] = [await model(false), await model(true)];
    const state = await nf4State(single, 'w');
    expect(state.nested).toBeNull();
    const plain = await dequantizeWeight(single, state);
    const nested = await dequantizeWeight(double, await nf4State(double, 'w'));
    expect(plain[0]).toBe(0);
    for (let i = 0; i < plain.length; i++) expect(nested[i]).toBeCloseTo(plain[i], 1);
    expect(weightNames(single)).toEqual(['w']);
    assertReadableQuantization(double);
  });

  it('packs the even element into the high nibble, and reads from the middle of a tensor', () => {
    const q = quantizeNf4(Float32Array.of(1, -1, 0, 1), { doubleQuant: false });
    expect([...q.packed]).toEqual([0xf0, 0x7f]);
    const zeros = quantizeNf4(new Float32Array(64), { doubleQuant: false });
    expect([...new Set(zeros.packed)]).toEqual([0]);
  });

  it('names the weight whose state is broken', async () => {
    const drop = (suffix: string) => model(true, (t) => t.filter((x) => !x.name.endsWith(suffix)));
    const state = (json: string) =>
      model(true, (t) =>
        t.map((x) => {
          if (!x.name.endsWith('nf4')) return x;
          const bytes = new TextEncoder().encode(json);
          return { ...x, bytes, shape: [bytes.length] };
        }),
      );
    const error = async (checkpoint: Promise<Checkpoint>) =>
      nf4State(await checkpoint, 'w').catch((e: Error) => e.message);
    expect(await error(drop('.absmax'))).toMatch(/w\.absmax|w\.nested_absmax|w: absmax/);
    expect(await error(drop('.nested_quant_map'))).toMatch(/no tensor w\.nested_quant_map/);
    expect(await error(state('{'))).toMatch(/w: its quant state is not JSON/);
    expect(await error(state('{"quant_type":"fp4"}'))).toMatch(/"fp4", not "nf4"/);
    const wrong = '{"quant_type":"nf4","blocksize":64,"shape":[4,98],"dtype":"float16"}';
    expect(await error(state(wrong))).toMatch(/192 packed bytes where its shape \[4,98\] needs 196/);
    const lacking = '{"quant_type":"nf4","blocksize":64,"shape":[4,96],"dtype":"float16"}';
    expect(await error(state(lacking))).toMatch(/lacks the nested fields/);
  });

  it('refuses other quantisations by name', async () => {
    const rename = (from: string, to: string) =>
      model(true, (t) => t.map((x) => (x.name === from ? { ...x, name: to } : x)));
    const refused = async (checkpoint: Promise<Checkpoint>) => {
      const opened = await checkpoint;
      expect(() => assertReadableQuantization(opened)).toThrow(QuantizationError);
      try {
        assertReadableQuantization(opened);
      } catch (e) {
        return (e as QuantizationError).message;
      }
    };
    const fp4 = rename('w.quant_state.bitsandbytes__nf4', 'w.quant_state.bitsandbytes__fp4');
    expect(await refused(fp4)).toMatch(/^w is quantised as FP4/);
    expect(await refused(rename('w.quant_map', 'x.SCB'))).toMatch(/^x\.weight is quantised as 8-bit/);
    const config = (quantization_config: object) => model(true, (t) => t, { quantization_config });
    expect(await refused(config({ quant_method: 'gptq' }))).toMatch(/quantised as gptq/);
    expect(await refused(config({ quant_method: 'bitsandbytes', load_in_8bit: true }))).toMatch(/8-bit/);
    expect(await refused(config({ bnb_4bit_quant_type: 'fp4' }))).toMatch(/FP4/);
  });
});
