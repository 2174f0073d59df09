/** Timing of recorded GPU work: warm, several batches, the median. */
import type { Commands, View } from '../gpu/commands';
import { DispatchTimes } from '../gpu/timing';

export interface Measurement {
  group: string;
  name: string;
  /** Median milliseconds of one run. */
  ms: number;
  /** Fastest and slowest batch. */
  range: [number, number];
  tflops?: number;
  gbps?: number;
}

export interface Work {
  group: string;
  name: string;
  /** Records the work once. */
  record(): void;
  /** Floating-point operations of one run. */
  flops?: number;
  /** Bytes that one run must read and write at least. */
  bytes?: number;
}

const BATCHES = 7;
/** A GPU that has idled takes a while to raise its clock: without this long at work first, rates come out by half. */
const WARM_MS = 400;

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

/** Largest difference of two results over the largest expected value; NaN where one is. */
export function worstDifference(actual: Float32Array, expected: Float32Array): number {
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    if (!(difference <= worst)) worst = difference;
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return worst / largest;
}

async function batch(cmd: Commands, work: Work, runs: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < runs; i++) work.record();
  await cmd.finish();
  if (!cmd.times) return (performance.now() - start) / runs;
  const times = await cmd.times.read();
  return times.reduce((sum, { ms }) => sum + ms, 0) / runs;
}

/** `measure` by the GPU's own clock, where the device offers it: what the GPU waits for between submits is not counted. */
export async function measureOnGpu(cmd: Commands, works: readonly Work[], batchMs?: number): Promise<Measurement[]> {
  if (!cmd.device.features.has('timestamp-query')) return measure(cmd, works, batchMs);
  cmd.times = new DispatchTimes(cmd.device, { each: false });
  try {
    return await measure(cmd, works, batchMs);
  } finally {
    cmd.times.destroy();
    cmd.times = null;
  }
}

/** Times several works in turn, batch by batch, so that drift of the device's clock meets all of them alike. */
export async function measure(cmd: Commands, works: readonly Work[], batchMs = 20): Promise<Measurement[]> {
  const runs: number[] = [];
  for (const work of works) {
    await batch(cmd, work, 1);
    const once = await batch(cmd, work, 3);
    runs.push(Math.max(1, Math.min(500, Math.round(batchMs / Math.max(once, 1e-3)))));
  }
  for (const start = performance.now(); performance.now() - start < WARM_MS; ) {
    for (const [i, work] of works.entries()) await batch(cmd, work, runs[i]);
  }
  const times: number[][] = works.map(() => []);
  for (let b = 0; b < BATCHES; b++) {
    for (const [i, work] of works.entries()) times[i].push(await batch(cmd, work, runs[i]));
  }
  return works.map(({ group, name, flops, bytes }, i) => {
    const ms = median(times[i]);
    return {
      group,
      name,
      ms,
      range: [Math.min(...times[i]), Math.max(...times[i])],
      ...(flops && { tflops: flops / ms / 1e9 }),
      ...(bytes && { gbps: bytes / ms / 1e6 }),
    };
  });
}

/** Buffers of random numbers for benchmarks; `destroy` frees them all. */
export class Bench {
  readonly cmd: Commands;
  readonly #buffers: GPUBuffer[] = [];
  readonly #random = new Float32Array(2 ** 20);
  readonly #bytes = new Uint32Array(2 ** 20);

  constructor(cmd: Commands) {
    this.cmd = cmd;
    let state = 1;
    for (let i = 0; i < this.#random.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      this.#random[i] = state / 2 ** 32 - 0.5;
      this.#bytes[i] = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d);
    }
  }

  buffer(bytes: number): GPUBuffer {
    const buffer = this.cmd.device.createBuffer({ size: Math.ceil(bytes / 16) * 16, usage: 0x80 | 0x04 | 0x08 });
    this.#buffers.push(buffer);
    return buffer;
  }

  /** Values between -0.5 and 0.5, times `scale`. */
  floats(count: number, scale = 1): View {
    const values = scale === 1 ? this.#random : this.#random.map((value) => scale * value);
    return { buffer: this.fill(this.buffer(count * 4), values) };
  }

  /** Random bits, of a number format in which all bits are numbers. */
  bits(bytes: number): View {
    return { buffer: this.fill(this.buffer(bytes), this.#bytes) };
  }

  fill(buffer: GPUBuffer, data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): GPUBuffer {
    for (let at = 0; at < buffer.size; at += data.byteLength) {
      this.cmd.device.queue.writeBuffer(buffer, at, data.buffer, 0, Math.min(data.byteLength, buffer.size - at));
    }
    return buffer;
  }

  destroy(): void {
    for (const buffer of this.#buffers.splice(0)) buffer.destroy();
    this.cmd.forgetBuffers();
  }
}
