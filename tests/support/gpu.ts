/** The WebGPU device that the tests of one file share, and ways to put numbers on it and get them back. */
import { dawn } from '../../src/cli/dawn';

export { expectClose, maxAbs, relativeL2, type Tolerance } from './close';

let opened: Promise<GPUDevice> | undefined;

/** The one device of this test file, with the adapter's own limits and features. Do not destroy it. */
export function testDevice(): Promise<GPUDevice> {
  opened ??= open();
  return opened;
}

async function open(): Promise<GPUDevice> {
  const adapter = await (await dawn({ software: true })).requestAdapter();
  if (!adapter) {
    throw new Error(
      'no Vulkan device for the GPU tests: install a software one (Debian: apt-get install chromium, or ' +
        'mesa-vulkan-drivers and libvulkan1), or point VK_ICD_FILENAMES at a driver file',
    );
  }
  const requiredLimits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const value = adapter.limits[name as keyof GPUSupportedLimits];
    if (typeof value === 'number') requiredLimits[name] = value;
  }
  const device = await adapter.requestDevice({
    requiredLimits,
    requiredFeatures: [...adapter.features] as GPUFeatureName[],
  });
  // An error that no scope caught must fail the run, not pass as a result of zeros.
  device.addEventListener('uncapturederror', (event) => {
    queueMicrotask(() => {
      throw new Error(`uncaptured WebGPU error: ${event.error.message}`);
    });
  });
  return device;
}

/** A storage buffer holding `data` as float32 (float64 values are rounded), or the integers as they are. */
export function upload(
  device: GPUDevice,
  data:
    | Float64Array
    | Float32Array<ArrayBuffer>
    | Uint32Array<ArrayBuffer>
    | Int32Array<ArrayBuffer>
    | Uint8Array<ArrayBuffer>,
  label = 'test input',
): GPUBuffer {
  const values = data instanceof Float64Array ? Float32Array.from(data) : data;
  const size = Math.max(4, Math.ceil(values.byteLength / 4) * 4);
  const buffer = device.createBuffer({
    label,
    size,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  });
  const bytes = new Uint8Array(size);
  bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  device.queue.writeBuffer(buffer, 0, bytes);
  return buffer;
}

/** A storage buffer for `length` floats that a kernel should write: filled with NaN, so that a gap shows. */
export function poisoned(device: GPUDevice, length: number, label = 'test output'): GPUBuffer {
  return upload(device, new Float32Array(length).fill(Number.NaN), label);
}

async function downloadBytes(device: GPUDevice, buffer: GPUBuffer, offset: number, size: number): Promise<ArrayBuffer> {
  const staging = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, offset, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const bytes = staging.getMappedRange().slice(0);
  staging.destroy();
  return bytes;
}

/** The floats of a buffer, or `length` of them from element `start` on. */
export async function download(device: GPUDevice, buffer: GPUBuffer, length = buffer.size / 4, start = 0) {
  return new Float32Array(await downloadBytes(device, buffer, start * 4, length * 4));
}

/** As `download`, for unsigned integers. */
export async function downloadU32(device: GPUDevice, buffer: GPUBuffer, length = buffer.size / 4, start = 0) {
  return new Uint32Array(await downloadBytes(device, buffer, start * 4, length * 4));
}

/** Runs `work` inside validation and out-of-memory scopes; throws the first error with its message. */
export async function checked<T>(device: GPUDevice, work: () => T | Promise<T>): Promise<T> {
  device.pushErrorScope('out-of-memory');
  device.pushErrorScope('validation');
  let result: T;
  let errors: (GPUError | null)[];
  try {
    result = await work();
  } finally {
    errors = [await device.popErrorScope(), await device.popErrorScope()];
  }
  const error = errors.find((e) => e);
  if (error) throw new Error(error.message);
  return result;
}
