import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { checked, download, downloadU32, expectClose, maxAbs, poisoned, relativeL2, testDevice, upload } from './gpu';

const DOUBLE = /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&x)) { y[id.x] = 2.0 * x[id.x]; }
}`;

describe('the test device', () => {
  test('runs a kernel; what it does not write stays poisoned', async () => {
    const device = await testDevice();
    const x = Float64Array.from({ length: 100 }, (_, i) => i / 3);
    const input = upload(device, x);
    const output = poisoned(device, 128);
    await checked(device, () => {
      const module = device.createShaderModule({ code: DOUBLE });
      const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module } });
      const bindGroup = device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [
          { binding: 0, resource: { buffer: input } },
          { binding: 1, resource: { buffer: output } },
        ],
      });
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(2);
      pass.end();
      device.queue.submit([encoder.finish()]);
    });
    const y = await download(device, output);
    expectClose(
      y.subarray(0, 100),
      x.map((v) => 2 * v),
      { relativeL2: 1e-7 },
    );
    expect(y.subarray(100).every(Number.isNaN)).toBe(true);
    expect(await download(device, output, 2, 3)).toEqual(y.slice(3, 5));
    const bits = Uint32Array.from([1, 0xffffffff, 7]);
    expect(await downloadU32(device, upload(device, bits))).toEqual(bits);
  });

  test('has more than the default limits and is one and the same', async () => {
    const device = await testDevice();
    expect(await testDevice()).toBe(device);
    expect(device.limits.maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(8);
    expect(device.limits.maxBufferSize).toBeGreaterThan(256 * 2 ** 20);
  });

  test('computes while this thread sleeps, which others may use as before', async ({ skip }) => {
    const device = await testDevice();
    const driver = process.env.VK_ICD_FILENAMES || process.env.VK_DRIVER_FILES;
    skip(!/lvp|swiftshader/.test(driver ?? ''), 'a driver that computes elsewhere is asked as often as can be');
    const code = `@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  var sum = 0.0;
  for (var i = 0u; i < 100000u; i++) { sum += sqrt(f32(i + id.x) + sum); }
  y[id.x] = sum;
}`;
    const module = device.createShaderModule({ code });
    const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module } });
    const resource = { buffer: poisoned(device, 4096) };
    const layout = pipeline.getBindGroupLayout(0);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout, entries: [{ binding: 0, resource }] }));
    pass.dispatchWorkgroups(64);
    pass.end();
    const before = performance.eventLoopUtilization();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    const { active, idle, utilization } = performance.eventLoopUtilization(before);
    expect(active + idle).toBeGreaterThan(50);
    expect(utilization).toBeLessThan(0.5);

    const word = await new Promise((done) => setImmediate(done, 'at once'));
    expect([word, await promisify(setImmediate)('kept')]).toEqual(['at once', 'kept']);
  });

  test('a broken shader is reported', async () => {
    const device = await testDevice();
    await expect(checked(device, () => device.createShaderModule({ code: 'fn main() { nonsense; }' }))).rejects.toThrow(
      /nonsense/,
    );
  });
});

describe('distances', () => {
  test('relativeL2 and maxAbs', () => {
    expect(relativeL2([3, 4.5], [3, 4])).toBeCloseTo(0.1, 12);
    expect(relativeL2([0, 2], [0, 0])).toBe(2);
    expect(maxAbs([1, -2], [1.5, -4])).toBe(2);
    expect(maxAbs([Number.NaN], [0])).toBeNaN();
  });
  test('expectClose', () => {
    expectClose([1, 2], [1, 2.0001], { relativeL2: 1e-3, maxAbs: 1e-3 });
    expect(() => expectClose([1, 2.1], [1, 2], { relativeL2: 1e-3 }, 'y')).toThrow(/y: relative L2 .* element 1 of 2/);
    expect(() => expectClose([1, 2.1], [1, 2], { maxAbs: 1e-3 })).toThrow(/allowed/);
    expect(() => expectClose([1, Number.NaN], [1, 2], { maxAbs: 1 })).toThrow(/element 1 is NaN/);
    expect(() => expectClose([1], [1, 2], { maxAbs: 1 })).toThrow(/lengths/);
    expect(() => expectClose([], [], { maxAbs: 1 })).toThrow(/empty/);
    expect(() => expectClose([1], [1], {})).toThrow(/needs a tolerance/);
  });
});
