import { afterAll, describe, expect, it } from 'vitest';
import { dawn } from '../../src/cli/dawn';
import { exportMerged, type MergedExport } from '../../src/export/export';
import { GpuMerger } from '../../src/export/gpu-merger';
import { cpuMerger, type RawRows } from '../../src/export/merge';
import { MemorySink } from '../../src/export/sink';
import { memorySource } from '../../src/formats/bytes';
import { Checkpoint } from '../../src/formats/checkpoint';
import { encodeFloats, type FloatDtype } from '../../src/formats/float';
import { dequantizeAbsmax, NF4_CODE, quantizeNf4 } from '../../src/formats/nf4-codec';
import { ADAPTER_FILE, type AdapterTensor, baseWeightName, loraKey, readAdapter } from '../../src/formats/peft';
import { openGpu } from '../../src/gpu/device';
import { createRng } from '../reference/rng';
import { fixture, folderFiles, repositoryPath } from '../support/files';

const gpu = await openGpu(await dawn({ software: true }));
const rng = createRng(11);
const normals = (n: number, size: number) => Float32Array.from(rng.normals(n, size));
const name = baseWeightName(0, 'q_proj');

/** An adapter for `name` of a weight [rows, columns]. */
function adapter(rows: number, columns: number, rank: number, dora: boolean): Map<string, AdapterTensor> {
  const parts: [part: 'A' | 'B' | 'magnitude', shape: number[], size: number][] = [
    ['A', [rank, columns], 0.1],
    ['B', [rows, rank], 0.3],
    ...(dora ? [['magnitude', [rows], 1] as ['magnitude', number[], number]] : []),
  ];
  return new Map(
    parts.map(([part, shape, size]) => {
      const key = loraKey({ layer: 0, module: 'q_proj', part });
      return [
        key,
        {
          name: key,
          shape,
          values: normals(
            shape.reduce((a, b) => a * b),
            size,
          ),
        },
      ];
    }),
  );
}

/** Some rows of a random weight, with values of every size among them. */
function weightRows(format: RawRows['format'], firstRow: number, rows: number, columns: number): RawRows {
  const values = normals(rows * columns, 0.05);
  for (let i = 0; i < values.length; i += 37) values[i] *= 2 ** (rng.int(40) - 30);
  if (format === 'F32') for (const [i, x] of [0, -0, 1e-9, 65519, 65520, 1e-42].entries()) values[i] = x;
  const shape = { firstRow, rows, columns };
  if (format !== 'NF4') return { ...shape, format, bytes: encodeFloats(values, format) as Uint8Array<ArrayBuffer> };
  const q = quantizeNf4(values);
  return { ...shape, format, bytes: q.packed, absmax: dequantizeAbsmax(q), code: NF4_CODE };
}

describe('merging on the GPU gives the bytes of the CPU reference', () => {
  const gpuOf = new Map<string, GpuMerger>();
  afterAll(() => {
    for (const merger of gpuOf.values()) merger.destroy();
  });
  const [columns, firstRow, rows] = [172, 64, 75];
  const cases = (['F32', 'BF16', 'F16', 'NF4'] as const).flatMap((format) =>
    (['F32', 'BF16', 'F16'] as const).map((dtype) => [format, dtype] as const),
  );

  it.each(cases)('%s rows to %s, with LoRA, DoRA and no adapter', async (format, dtype) => {
    for (const [kind, rank] of Object.entries({ lora: 8, dora: 5 })) {
      const tensors = adapter(firstRow + rows, columns, rank, kind === 'dora');
      const merger = new GpuMerger(gpu, tensors, 2 / 3);
      const reference = cpuMerger(tensors, 2 / 3);
      for (const key of [name, null]) {
        const block = weightRows(format, firstRow, rows, columns);
        const ours = await merger.merge(key, { ...block, bytes: block.bytes.slice() }, dtype);
        const theirs = await reference.merge(key, block, dtype);
        const differ = ours.filter((byte, i) => byte !== theirs[i]).length;
        expect([ours.length, differ], `${kind}, ${key}`).toEqual([theirs.length, 0]);
      }
      expect(merger.failure).toBe(null);
      merger.destroy();
    }
    expect(gpu.faults).toEqual([]);
  });

  it('quantises to the codes and maxima of the reference', async () => {
    const [merger, reference] = [new GpuMerger(gpu, new Map(), 1), cpuMerger(new Map(), 1)];
    for (const format of ['BF16', 'F16', 'F32'] as const) {
      const block = weightRows(format, 0, 64, 172);
      expect(await merger.quantize(block)).toEqual(await reference.quantize(block));
    }
    merger.destroy();
  });
});

it('goes on with the CPU when the GPU fails', async () => {
  const own = await openGpu(await dawn({ software: true }));
  const tensors = adapter(64, 172, 8, false);
  const merger = new GpuMerger(own, tensors, 2);
  const block = () => weightRows('F32', 0, 64, 172);
  await merger.merge(name, block(), 'BF16');
  expect(merger.failure).toBe(null);
  own.device.destroy();
  const here = block();
  const expected = await cpuMerger(tensors, 2).merge(name, { ...here, bytes: here.bytes.slice() }, 'BF16');
  expect(Buffer.compare(await merger.merge(name, here, 'BF16'), expected)).toBe(0);
  expect(merger.failure).not.toBe(null);
});

describe('a whole merged model is the same file from the GPU and the CPU', async () => {
  const tensorsOf = async (golden: string) =>
    readAdapter(memorySource(await fixture(`tests/goldens/${golden}/${ADAPTER_FILE}`)));
  const open = async (path: string) => Checkpoint.open(await folderFiles(repositoryPath(path)));
  const stories = await open('public/models/stories-260k');
  const small = await open('tests/fixtures/models/stories-260k-bnb-4bit');

  it.each([
    ['BF16 from F32', 'stories-260k-lora', stories, { dtype: 'BF16' }],
    ['DoRA in F16', 'stories-260k-dora', stories, { dtype: 'F16' }],
    ['F32 from NF4', 'stories-260k-lora', small, { dtype: 'F32' }],
    ['NF4 again', 'stories-260k-lora', small, { dtype: 'BF16', base: 'nf4' }],
    ['NF4 made on load', 'stories-260k-lora', stories, { dtype: 'BF16', quantize: { sourceDtype: 'F16' } }],
  ] as [string, string, Checkpoint, Partial<MergedExport> & { dtype: FloatDtype }][])(
    '%s',
    async (_, golden, checkpoint, options) => {
      const tensors = await tensorsOf(golden);
      const merger = new GpuMerger(gpu, tensors, 2);
      const [ours, theirs] = [new MemorySink(), new MemorySink()];
      await exportMerged({ checkpoint, card: '', sink: ours, ...options, merger });
      expect(merger.failure).toBe(null);
      await exportMerged({ checkpoint, card: '', sink: theirs, ...options, merger: cpuMerger(tensors, 2) });
      merger.destroy();
      const weights = 'model.safetensors';
      expect(Buffer.compare(ours.files.get(weights)!, theirs.files.get(weights)!)).toBe(0);
    },
  );
});
