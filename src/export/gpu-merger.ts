/** Merging on the GPU: rows go up as they are stored, and come back merged in the dtype of the output. */
import { encodeFloats, FLOAT_BYTES, type FloatDtype } from '../formats/float';
import type { AdapterTensor } from '../formats/peft';
import { Commands } from '../gpu/commands';
import type { Gpu } from '../gpu/device';
import { bufferSpec, Memory } from '../gpu/memory';
import { mergeLoraPiece } from '../ops/merge_lora';
import { quantizeNf4Piece } from '../ops/quantize_nf4';
import { type BlockCodes, cpuMerger, findLora, type LoraMatrices, type Merger, type RawRows, scaleRows } from './merge';

/** Words before the absmax of NF4 scales that are not nested: 256 unused, then the code. */
const SCALES_HEAD = 272;

const BUFFERS = ['source', 'scales', 'a', 'b', 'merged', 'absmax'] as const;
type BufferName = (typeof BUFFERS)[number];

/** Gives the bytes of {@link cpuMerger}. Rows must have a multiple of 4 columns; others are left to the CPU. */
export class GpuMerger implements Merger {
  readonly #cmd: Commands;
  readonly #tensors: ReadonlyMap<string, AdapterTensor>;
  readonly #scale: number;
  readonly #cpu: Merger;
  /** Each grows to the largest rows seen. */
  readonly #memory = new Map<BufferName, Memory>();
  /** The weight whose A and B are on the GPU. */
  #adapterOf: string | null = null;

  constructor(gpu: Gpu, tensors: ReadonlyMap<string, AdapterTensor>, scale: number) {
    this.#cmd = new Commands(gpu.device);
    this.#tensors = tensors;
    this.#scale = scale;
    this.#cpu = cpuMerger(tensors, scale);
  }

  has(name: string): boolean {
    return this.#cpu.has(name);
  }

  /** @throws GpuError `out-of-memory` */
  async merge(name: string | null, rows: RawRows, dtype: FloatDtype): Promise<Uint8Array<ArrayBuffer>> {
    const lora = name === null ? null : findLora(this.#tensors, this.#scale, name);
    if (!lora && rows.format === dtype) return rows.bytes;
    if (rows.columns % 4) return this.#cpu.merge(name, rows, dtype);
    const elements = rows.rows * rows.columns;
    // DoRA's norms are sums that only the CPU makes to the last bit.
    const out = lora?.magnitude ? 'F32' : dtype;
    const bytes = elements * FLOAT_BYTES[out];
    const merged = await this.#buffer('merged', bytes);
    const matrices = await this.#upload(name, lora);
    mergeLoraPiece(this.#cmd, {
      ...(await this.#uploadRows(rows)),
      elements,
      columns: rows.columns,
      lora: { ...matrices, firstRow: rows.firstRow },
      merged,
      dtype: out,
    });
    const result = new Uint8Array(await this.#cmd.read(merged, bytes));
    if (!lora?.magnitude) return result;
    const values = scaleRows(new Float32Array(result.buffer), rows, lora.magnitude);
    return encodeFloats(values, dtype) as Uint8Array<ArrayBuffer>;
  }

  async quantize(rows: RawRows): Promise<BlockCodes> {
    if (rows.format === 'NF4' || (rows.rows * rows.columns) % 8) return this.#cpu.quantize(rows);
    const elements = rows.rows * rows.columns;
    const blocks = Math.ceil(elements / 64);
    const codes = await this.#buffer('merged', elements / 2);
    const absmax = await this.#buffer('absmax', blocks * 4);
    const { source } = await this.#uploadRows(rows);
    const piece = { source, format: rows.format, elements, codes, firstElement: 0, absmax, firstBlock: 0 };
    quantizeNf4Piece(this.#cmd, piece);
    const packed = new Uint8Array(await this.#cmd.read(codes, elements / 2));
    return { codes: packed, absmax: new Float32Array(await this.#cmd.read(absmax, blocks * 4)) };
  }

  destroy(): void {
    for (const memory of this.#memory.values()) memory.destroy();
    this.#memory.clear();
    this.#cmd.destroy();
  }

  async #uploadRows(rows: RawRows) {
    const source = await this.#buffer('source', rows.bytes.byteLength);
    this.#cmd.upload(source, whole(rows.bytes));
    if (rows.format !== 'NF4') return { source, format: rows.format };
    const table = new Float32Array(SCALES_HEAD + rows.absmax.length);
    table.set(rows.code, 256);
    table.set(rows.absmax, SCALES_HEAD);
    const scales = await this.#buffer('scales', table.byteLength);
    this.#cmd.upload(scales, table);
    return { source, format: rows.format, scales };
  }

  async #upload(name: string | null, lora: LoraMatrices | null) {
    const [a, b] = [await this.#buffer('a', lora?.a.byteLength ?? 0), await this.#buffer('b', lora?.b.byteLength ?? 0)];
    if (lora && this.#adapterOf !== name) {
      this.#cmd.upload(a, lora.a as Float32Array<ArrayBuffer>);
      this.#cmd.upload(b, lora.b as Float32Array<ArrayBuffer>);
      this.#adapterOf = name;
    }
    return { a, b, rank: lora?.r ?? 0, scale: lora?.scale ?? 0 };
  }

  async #buffer(name: BufferName, bytes: number): Promise<{ buffer: GPUBuffer }> {
    const before = this.#memory.get(name);
    if (before && before.bytes >= bytes) return { buffer: before.get(name) };
    before?.destroy();
    this.#cmd.forgetBuffers();
    const memory = new Memory(this.#cmd.device);
    this.#memory.set(name, memory);
    await memory.allocate([bufferSpec(name, 'other', bytes)]);
    if (name === 'a' || name === 'b') this.#adapterOf = null;
    return { buffer: memory.get(name) };
  }
}

/** Bytes whose length is a multiple of 4, as uploads must be. */
function whole(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.byteLength % 4 === 0) return bytes;
  const padded = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
  padded.set(bytes);
  return padded;
}
