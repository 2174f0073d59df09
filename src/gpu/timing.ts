/** GPU time of dispatches, by timestamp queries: for benchmarks. */

const MOST = 2048;

export interface KernelTime {
  name: string;
  dispatches: number;
  /** Milliseconds of all dispatches together. */
  ms: number;
  /** Floating-point operations as the ops count them. */
  cost: number;
}

export class DispatchTimes {
  readonly #device: GPUDevice;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  #pending: { name: string; cost: number }[] = [];
  #batches: { staging: GPUBuffer; dispatches: { name: string; cost: number }[] }[] = [];

  /** Whether every dispatch has a pass of its own, which slows a step down, or only the whole of a submit is timed. */
  readonly each: boolean;

  /** The device must have been opened with `timestamp-query`. */
  constructor(device: GPUDevice, { each = true }: { each?: boolean } = {}) {
    this.#device = device;
    this.each = each;
    this.#queries = device.createQuerySet({ type: 'timestamp', count: 2 * MOST });
    this.#resolved = device.createBuffer({ label: 'timestamps', size: 16 * MOST, usage: 0x200 | 0x04 });
  }

  /** Where the next pass writes its times. At most 2,048 of them between two calls of `resolve`. */
  next(name: string, cost: number): GPUComputePassTimestampWrites {
    const at = 2 * this.#pending.length;
    this.#pending.push({ name, cost });
    return { querySet: this.#queries, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
  }

  /** To be recorded after the passes of a submit. */
  resolve(encoder: GPUCommandEncoder): void {
    if (this.#pending.length === 0) return;
    const size = 16 * this.#pending.length;
    const staging = this.#device.createBuffer({ label: 'timestamps', size, usage: 0x01 | 0x08 });
    encoder.resolveQuerySet(this.#queries, 0, 2 * this.#pending.length, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, staging, 0, size);
    this.#batches.push({ staging, dispatches: this.#pending });
    this.#pending = [];
  }

  destroy(): void {
    this.#queries.destroy();
    this.#resolved.destroy();
    for (const { staging } of this.#batches.splice(0)) staging.destroy();
  }

  /** Times since the last call, longest first. Everything must have been submitted. */
  async read(): Promise<KernelTime[]> {
    const sums = new Map<string, KernelTime>();
    for (const { staging, dispatches } of this.#batches.splice(0)) {
      await staging.mapAsync(0x01);
      const times = new BigUint64Array(staging.getMappedRange());
      dispatches.forEach(({ name, cost }, i) => {
        const sum = sums.get(name) ?? { name, dispatches: 0, ms: 0, cost: 0 };
        sums.set(name, sum);
        sum.dispatches++;
        sum.ms += Number(times[2 * i + 1] - times[2 * i]) / 1e6;
        sum.cost += cost;
      });
      staging.destroy();
    }
    return [...sums.values()].sort((a, b) => b.ms - a.ms);
  }
}
