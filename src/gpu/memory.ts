/**
 * Named GPU buffers from a table. The same table is what the page shows before anything is downloaded, so what is
 * planned is what is allocated, to the byte.
 */
import { GpuError } from './errors';

export type MemoryGroup = 'weights' | 'lora' | 'moments' | 'checkpoints' | 'activations' | 'cache' | 'head' | 'other';

export interface BufferSpec {
  name: string;
  group: MemoryGroup;
  /** Rounded up to a multiple of 16 by `bufferSpec`. */
  bytes: number;
}

export const bufferSpec = (name: string, group: MemoryGroup, bytes: number): BufferSpec => ({
  name,
  group,
  bytes: Math.max(16, Math.ceil(bytes / 16) * 16),
});

export const totalBytes = (specs: readonly BufferSpec[]): number => specs.reduce((sum, s) => sum + s.bytes, 0);

const STORAGE = 0x80 | 0x04 | 0x08; // STORAGE | COPY_SRC | COPY_DST

/** Owner of a set of buffers; nothing else in the engine calls createBuffer for lasting storage. */
export class Memory {
  readonly device: GPUDevice;
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #specs: BufferSpec[] = [];

  constructor(device: GPUDevice) {
    this.device = device;
  }

  /**
   * Allocates a table of buffers.
   * @throws GpuError `out-of-memory` with the numbers; what this call allocated is freed again
   */
  async allocate(specs: readonly BufferSpec[]): Promise<void> {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.device.limits;
    const most = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    const tooLarge = specs.find((s) => s.bytes > most);
    if (tooLarge) {
      throw new GpuError(
        'limits',
        `${tooLarge.name} needs ${tooLarge.bytes} bytes in one buffer; this GPU allows ${most}. Shorten max_length, or choose a smaller model.`,
      );
    }
    this.device.pushErrorScope('out-of-memory');
    const made: GPUBuffer[] = [];
    for (const spec of specs) {
      if (this.#buffers.has(spec.name)) throw new Error(`buffer ${spec.name} is allocated twice`);
      const buffer = this.device.createBuffer({ label: spec.name, size: spec.bytes, usage: STORAGE });
      made.push(buffer);
      this.#buffers.set(spec.name, buffer);
      this.#specs.push(spec);
    }
    const failure = await this.device.popErrorScope();
    if (failure) {
      for (const buffer of made) buffer.destroy();
      for (const spec of specs) this.#buffers.delete(spec.name);
      this.#specs.splice(this.#specs.length - specs.length);
      throw new GpuError(
        'out-of-memory',
        `The GPU has no room for ${(totalBytes(specs) / 2 ** 20).toFixed(0)} MiB more. Close other programs, shorten max_length, or choose a smaller model.`,
      );
    }
  }

  /** The buffer of that name. */
  get(name: string): GPUBuffer {
    const buffer = this.#buffers.get(name);
    if (!buffer) throw new Error(`no buffer named ${name}`);
    return buffer;
  }

  has(name: string): boolean {
    return this.#buffers.has(name);
  }

  /** What is allocated now. */
  get specs(): readonly BufferSpec[] {
    return this.#specs;
  }

  get bytes(): number {
    return totalBytes(this.#specs);
  }

  destroy(): void {
    for (const buffer of this.#buffers.values()) buffer.destroy();
    this.#buffers.clear();
    this.#specs.length = 0;
  }
}
