/** Merging on the GPU: rows go up as they are stored, and come back merged in the dtype of the output. */
import { encodeFloats, FLOAT_BYTES, type FloatDtype } from '../formats/float';
import type { AdapterTensor } from '../formats/peft';
import { Commands } from '../gpu/commands';
import type { Gpu } from '../gpu/device';
import { GpuError } from '../gpu/errors';
import { bufferSpec, Memory } from '../gpu/memory';
import { mergeLoraPiece } from '../ops/merge_lora';
import { quantizeNf4Piece } from '../ops/quantize_nf4';
import { type BlockCodes, cpuMerger, findLora, type LoraMatrices, type Merger, type RawRows, scaleRows } from './merge';

/** Words before the absmax of NF4 scales that are not nested: 256 unused, then the code. */
const SCALES_HEAD = 272;

const BUFFERS = ['source', 'scales', 'a', 'b', 'merged', 'absmax'] as const;
type BufferName = (typeof BUFFERS)[number];

/**
 * Gives the bytes of {@link cpuMerger}. Rows whose width is no multiple of 4 are left to the CPU, and all of them once the
 * GPU has failed: it may be lost, or have no room beside the model, and an export should not fail with it.
 */
export class GpuMerger implements Merger {
  readonly #cmd: Commands;
  readonly #tensors: ReadonlyMap<string, AdapterTensor>;
  readonly #scale: number;
  readonly #cpu: Merger;
  /** Each grows to the largest rows seen. */
  readonly #memory = new Map<BufferName, Memory>();
  /** What the GPU failed with. */
  failure: unknown = null;
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

  async merge(name: string | null, rows: RawRows, dtype: FloatDtype): Promise<Uint8Array<ArrayBuffer>> {
    const lora = name === null ? null : findLora(this.#tensors, this.#scale, name);
    if (!lora && rows.format === dtype) return rows.bytes;
    return this.#orOnCpu(
      rows.columns % 4 === 0,
      () => this.#merge(name, lora, rows, dtype),
      () => this.#cpu.merge(name, rows, dtype),
    );
  }

  async quantize(rows: RawRows): Promise<BlockCodes> {
    const { format } = rows;
    if (format === 'NF4') return this.#cpu.quantize(rows);
    return this.#orOnCpu(
      (rows.rows * rows.columns) % 8 === 0,
      () => this.#quantize(rows, format),
      () => this.#cpu.quantize(rows),
    );
  }

  async #orOnCpu<T>(suits: boolean, onGpu: () => Promise<T>, onCpu: () => Promise<T>): Promise<T> {
    if (suits && this.failure === null) {
      try {
        return await onGpu();
      } catch (cause) {
        this.failure = cause;
      }
    }
    return onCpu();
  }

  async #merge(name: string | null, lora: LoraMatrices | null, rows: RawRows, dtype: FloatDtype) {
    const elements = rows.rows * rows.columns;
    // DoRA's norms are sums that only the CPU makes to the last bit.
    const out = lora?.magnitude ? 'F32' : dtype;
    const bytes = elements * FLOAT_BYTES[out];
    const merged = await this.#buffer('merged', bytes);
    const matrices = await this.#upload(name, lora);
    const piece = { ...(await this.#uploadRows(rows)), elements, columns: rows.columns, merged, dtype: out };
    const result = await this.#checked(() => {
      mergeLoraPiece(this.#cmd, { ...piece, lora: { ...matrices, firstRow: rows.firstRow } });
      return this.#cmd.read(merged, bytes);
    });
    if (!lora?.magnitude) return new Uint8Array(result);
    const values = scaleRows(new Float32Array(result), rows, lora.magnitude);
    return encodeFloats(values, dtype) as Uint8Array<ArrayBuffer>;
  }

  async #quantize(rows: RawRows, format: FloatDtype): Promise<BlockCodes> {
    const elements = rows.rows * rows.columns;
    const blocks = Math.ceil(elements / 64);
    const codes = await this.#buffer('merged', elements / 2);
    const absmax = await this.#buffer('absmax', blocks * 4);
    const { source } = await this.#uploadRows(rows);
    const [packed, maxima] = await this.#checked(() => {
      quantizeNf4Piece(this.#cmd, { source, format, elements, codes, firstElement: 0, absmax, firstBlock: 0 });
      return Promise.all([this.#cmd.read(codes, elements / 2), this.#cmd.read(absmax, blocks * 4)]);
    });
    return { codes: new Uint8Array(packed), absmax: new Float32Array(maxima) };
  }

  /** Runs work that is recorded at once; what the device refuses of it rejects, where it would else give zeros. */
  async #checked<T>(work: () => Promise<T>): Promise<T> {
    const { device } = this.#cmd;
    device.pushErrorScope('validation');
    const running = work();
    const refused = device.popErrorScope();
    const result = await running;
    const error = await refused;
    if (error) throw new GpuError('limits', error.message);
    return result;
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

/** The faster merger: a software adapter computes on the CPU as well, and takes five times as long for it. */
export function mergerFor(gpu: Gpu, tensors: ReadonlyMap<string, AdapterTensor>, scale: number) {
  if (gpu.isSoftware) return { merger: cpuMerger(tensors, scale), release: () => {} };
  const merger = new GpuMerger(gpu, tensors, scale);
  return { merger, release: () => merger.destroy() };
}

/** Bytes whose length is a multiple of 4, as uploads must be. */
function whole(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.byteLength % 4 === 0) return bytes;
  const padded = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
  padded.set(bytes);
  return padded;
}
