/**
 * Recording and submitting work. Dispatches are gathered into one compute pass; their parameters go into one uniform
 * buffer that is uploaded right before the submit. A submit ends before its work would take longer than pace.ts allows;
 * `breathe()` bounds how far the queue runs ahead.
 */
import { type Kernel, KernelCache, type KernelSpec } from './kernels';
import { Pace } from './pace';
import type { DispatchTimes } from './timing';

/** Part of a GPU buffer. Offset and size in bytes; the offset must suit the device's binding alignment. */
export interface View {
  readonly buffer: GPUBuffer;
  readonly offset?: number;
  readonly size?: number;
}

/** A tree whose branches are numbers: much cheaper to go down than making a string of them. */
class Numbered {
  readonly #branches = new Map<number, Numbered>();
  group?: GPUBindGroup;
  id?: number;

  at(n: number): Numbered {
    let branch = this.#branches.get(n);
    if (!branch) {
      branch = new Numbered();
      this.#branches.set(n, branch);
    }
    return branch;
  }
}

const SLOT = 256;
const SLOTS = 2048;
const MAX_IN_FLIGHT = 2;

export class Commands {
  readonly device: GPUDevice;
  readonly kernels: KernelCache;
  readonly #uniforms: GPUBuffer;
  readonly #staging = new ArrayBuffer(SLOT * SLOTS);
  /** Bind groups by their kernel and then the numbers of their views, one after the other. */
  #groups = new Numbered();
  readonly #views = new WeakMap<GPUBuffer, Numbered>();
  #nextViewId = 0;
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  #slot = 0;
  #cost = 0;
  #inFlight: Promise<unknown>[] = [];
  readonly #pace = new Pace();
  /** Dispatches recorded since the start, for tests and statistics. */
  dispatches = 0;
  /** Submits that are done, and the milliseconds of the longest, since somebody last set them to 0. */
  submits = { count: 0, longest: 0 };
  /** When set, dispatches are timed. */
  times: DispatchTimes | null = null;

  constructor(device: GPUDevice) {
    this.device = device;
    this.kernels = new KernelCache(device);
    this.#uniforms = device.createBuffer({ label: 'params', size: SLOT * SLOTS, usage: 0x40 | 0x08 });
  }

  /**
   * Records one dispatch. `params` are the fields of the kernel's `struct Params`; `buffers` its bindings by name.
   * `cost` is a rough count of floating-point operations. What was recorded before is submitted first where both together
   * would take too long.
   */
  dispatch(
    spec: KernelSpec,
    buffers: Record<string, View | undefined>,
    params: Record<string, number>,
    workgroups: readonly [number, number?, number?],
    cost = 0,
  ): void {
    const [x, y = 1, z = 1] = workgroups;
    if (x * y * z === 0) return;
    const kernel = this.kernels.get(spec);
    if (this.#slot === SLOTS || (this.#cost > 0 && this.#cost + cost > this.#pace.budget)) this.flush();
    const offset = this.#slot++ * SLOT;
    this.#writeParams(kernel, params, offset);
    const group = this.#bindGroup(kernel, buffers);
    this.#encoder ??= this.device.createCommandEncoder();
    if (this.times && (this.times.each || !this.#pass)) {
      this.#endPass();
      const { M, N, K } = params;
      const name = M ? `${kernel.name} ${M}x${N}x${K}` : kernel.name;
      this.#pass = this.#encoder.beginComputePass({ timestampWrites: this.times.next(name, cost) });
    }
    this.#pass ??= this.#encoder.beginComputePass();
    this.#pass.setPipeline(kernel.pipeline);
    this.#pass.setBindGroup(0, group, kernel.buffers.length < kernel.bindings.length ? [offset] : []);
    this.#pass.dispatchWorkgroups(x, y, z);
    this.#cost += cost;
    this.dispatches++;
  }

  /** Copies bytes between buffers, in order with the dispatches around it. */
  copy(from: View, to: View, bytes: number): void {
    this.#endPass();
    this.#encoder ??= this.device.createCommandEncoder();
    this.#encoder.copyBufferToBuffer(from.buffer, from.offset ?? 0, to.buffer, to.offset ?? 0, bytes);
  }

  /** Fills part of a buffer with zero bytes, in order with the dispatches around it. */
  clear(view: View): void {
    this.#endPass();
    this.#encoder ??= this.device.createCommandEncoder();
    this.#encoder.clearBuffer(view.buffer, view.offset ?? 0, view.size);
  }

  /** Uploads now: work recorded so far is submitted first, so it still sees the old bytes. */
  upload(view: View, data: ArrayBufferView<ArrayBuffer>): void {
    this.flush();
    this.device.queue.writeBuffer(view.buffer, view.offset ?? 0, data.buffer, data.byteOffset, data.byteLength);
  }

  /** Submits what is recorded. */
  flush(): void {
    this.#endPass();
    if (!this.#encoder) return;
    this.times?.resolve(this.#encoder);
    if (this.#slot > 0) this.device.queue.writeBuffer(this.#uniforms, 0, this.#staging, 0, this.#slot * SLOT);
    this.device.queue.submit([this.#encoder.finish()]);
    this.#encoder = null;
    this.#slot = 0;
    const cost = this.#cost;
    this.#cost = 0;
    const submitted = performance.now();
    const done = this.device.queue.onSubmittedWorkDone().then(() => {
      this.#inFlight.splice(this.#inFlight.indexOf(done), 1);
      const ms = this.#pace.done(cost, submitted, performance.now());
      this.submits.count++;
      this.submits.longest = Math.max(this.submits.longest, ms);
    });
    this.#inFlight.push(done);
  }

  /** A good place to submit: does so when enough work is recorded, and waits when too much is queued. */
  async breathe(): Promise<void> {
    if (this.#cost > this.#pace.budget || this.#slot > SLOTS / 2) this.flush();
    while (this.#inFlight.length > MAX_IN_FLIGHT) await this.#inFlight[0];
  }

  /** Submits everything and waits until the GPU has done it. */
  async finish(): Promise<void> {
    this.flush();
    await Promise.all(this.#inFlight);
  }

  /** Copies part of a buffer back. Waits for the work recorded before it. */
  async read(view: View, bytes: number): Promise<ArrayBuffer> {
    const staging = this.device.createBuffer({ label: 'readback', size: bytes, usage: 0x01 | 0x08 });
    this.copy(view, { buffer: staging }, bytes);
    this.flush();
    await staging.mapAsync(0x01 /* GPUMapMode.READ */);
    const copy = staging.getMappedRange().slice(0);
    staging.destroy();
    return copy;
  }

  /** Forgets cached bindings; call when buffers were destroyed. */
  forgetBuffers(): void {
    this.#groups = new Numbered();
  }

  destroy(): void {
    this.#uniforms.destroy();
    this.#groups = new Numbered();
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = null;
  }

  #writeParams(kernel: Kernel, params: Record<string, number>, offset: number): void {
    const view = new DataView(this.#staging, offset, SLOT);
    let at = 0;
    for (const { name, type } of kernel.params) {
      const value = params[name];
      if (value === undefined) throw new Error(`${kernel.name}: parameter ${name} is missing`);
      if (type === 'f32') view.setFloat32(at, value, true);
      else if (type === 'i32') view.setInt32(at, value, true);
      else view.setUint32(at, value, true);
      at += 4;
    }
  }

  /** A number for each part of a buffer that was ever bound. */
  #idOf({ buffer, offset = 0, size = -1 }: View): number {
    let parts = this.#views.get(buffer);
    if (!parts) {
      parts = new Numbered();
      this.#views.set(buffer, parts);
    }
    const part = parts.at(offset).at(size);
    if (part.id === undefined) part.id = this.#nextViewId++;
    return part.id;
  }

  #bindGroup(kernel: Kernel, buffers: Record<string, View | undefined>): GPUBindGroup {
    let place = this.#groups.at(kernel.id);
    for (const name of kernel.buffers) {
      const view = buffers[name];
      if (!view) throw new Error(`${kernel.name}: buffer ${name} is missing`);
      place = place.at(this.#idOf(view));
    }
    place.group ??= this.device.createBindGroup({
      label: kernel.name,
      layout: kernel.layout,
      entries: kernel.bindings.map(({ index, name, kind }) => ({
        binding: index,
        resource: kind === 'uniform' ? { buffer: this.#uniforms, size: SLOT } : buffers[name]!,
      })),
    });
    return place.group;
  }
}
