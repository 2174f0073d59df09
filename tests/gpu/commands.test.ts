/** Recording, ordering and submitting of work on a real device. */
import { describe, expect, test } from 'vitest';
import { Commands, type View } from '../../src/gpu/commands';
import { GpuError } from '../../src/gpu/errors';
import { checked, testDevice, upload } from '../support/gpu';

const device = await testDevice();

/** x = scale x + shift, element by element. */
const AFFINE = {
  name: 'affine',
  source: `
    struct Params { count: u32, scale: f32, shift: i32, }
    @group(0) @binding(0) var<uniform> p: Params;
    @group(0) @binding(1) var<storage, read_write> x: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < p.count) { x[id.x] = x[id.x] * p.scale + f32(p.shift); }
    }`,
};

const buffer = (...values: number[]): View => ({ buffer: upload(device, Float32Array.from(values)) });
const affine = (cmd: Commands, x: View, scale: number, shift: number) =>
  cmd.dispatch(AFFINE, { x }, { count: 4, scale, shift }, [1]);
const floats = async (cmd: Commands, x: View) => [...new Float32Array(await cmd.read(x, 16))];

describe('Commands', () => {
  test('dispatches, copies, clears and uploads keep their order', async () => {
    const cmd = new Commands(device);
    const x = buffer(1, 2, 3, 4);
    const y = buffer(0, 0, 0, 0);
    await checked(device, async () => {
      affine(cmd, x, 2, -1);
      affine(cmd, x, 1, 10);
      cmd.copy(x, y, 16);
      affine(cmd, x, 0, 5);
      cmd.clear({ ...x, offset: 8, size: 4 });
      affine(cmd, y, 1, 1);
      expect(await floats(cmd, x)).toEqual([5, 5, 0, 5]);
      expect(await floats(cmd, y)).toEqual([12, 14, 16, 18]);
      // The dispatch recorded before an upload still sees the old bytes.
      affine(cmd, x, 1, 1);
      cmd.copy(x, y, 16);
      cmd.upload(x, Float32Array.of(9, 9, 9, 9));
      expect(await floats(cmd, y)).toEqual([6, 6, 1, 6]);
      expect(await floats(cmd, x)).toEqual([9, 9, 9, 9]);
      await cmd.finish();
    });
    expect(cmd.dispatches).toBe(5);
    expect(cmd.kernels.size).toBe(1);
    cmd.destroy();
  });

  test('more dispatches than parameter slots', async () => {
    const cmd = new Commands(device);
    const x = buffer(0, 0, 0, 0);
    for (let i = 0; i < 5000; i++) {
      affine(cmd, x, 1, i % 3);
      if (i % 1500 === 0) await cmd.breathe();
    }
    // 1,666 times 0 + 1 + 2, then 0 and 1.
    const sum = 1666 * 3 + 1;
    expect(await floats(cmd, x)).toEqual([sum, sum, sum, sum]);
  });

  test('parts of buffers are bound by offset and size', async () => {
    const cmd = new Commands(device);
    const values = new Float32Array(128);
    const whole: View = { buffer: upload(device, values) };
    await checked(device, async () => {
      affine(cmd, { ...whole, offset: 256, size: 16 }, 1, 7);
      const bytes = await cmd.read(whole, 512);
      const seen = new Float32Array(bytes);
      expect([...seen.subarray(62, 70)]).toEqual([0, 0, 7, 7, 7, 7, 0, 0]);
    });
  });

  test('destroyed buffers are forgotten; a new one takes their place', async () => {
    const cmd = new Commands(device);
    const x = buffer(1, 1, 1, 1);
    affine(cmd, x, 1, 1);
    await cmd.finish();
    x.buffer.destroy();
    cmd.forgetBuffers();
    const y = buffer(2, 2, 2, 2);
    await checked(device, async () => {
      affine(cmd, y, 1, 1);
      expect(await floats(cmd, y)).toEqual([3, 3, 3, 3]);
    });
  });

  test('no workgroups are no dispatch', () => {
    const cmd = new Commands(device);
    cmd.dispatch(AFFINE, { x: buffer(1) }, { count: 0, scale: 0, shift: 0 }, [0]);
    cmd.dispatch(AFFINE, { x: buffer(1) }, { count: 0, scale: 0, shift: 0 }, [4, 0]);
    expect(cmd.dispatches).toBe(0);
  });

  test('a missing parameter or buffer is named', () => {
    const cmd = new Commands(device);
    expect(() => cmd.dispatch(AFFINE, { x: buffer(1) }, { count: 1, scale: 1 }, [1])).toThrow(
      'affine: parameter shift is missing',
    );
    expect(() => cmd.dispatch(AFFINE, {}, { count: 1, scale: 1, shift: 0 }, [1])).toThrow(
      'affine: buffer x is missing',
    );
  });

  test('breathing keeps the queue short', async () => {
    const cmd = new Commands(device);
    const x = buffer(0, 0, 0, 0);
    let queued = 0;
    let submits = 0;
    const { queue } = device;
    const submit = queue.submit.bind(queue);
    queue.submit = (buffers) => {
      submit(buffers);
      submits++;
      queued++;
      queue.onSubmittedWorkDone().then(() => queued--);
    };
    let most = 0;
    try {
      for (let i = 0; i < 30; i++) {
        affine(cmd, x, 1, 1);
        cmd.flush();
        await cmd.breathe();
        most = Math.max(most, queued);
      }
      expect(submits).toBe(30);
      expect(most).toBeGreaterThan(0);
      expect(most).toBeLessThanOrEqual(2);
      // Little work is gathered into one submit; much is not.
      for (let i = 0; i < 10; i++) {
        affine(cmd, x, 1, 1);
        await cmd.breathe();
      }
      expect(submits).toBe(30);
      cmd.dispatch(AFFINE, { x }, { count: 4, scale: 1, shift: 1 }, [1], 1e15);
      await cmd.breathe();
      expect(submits).toBe(31);
      await cmd.finish();
      expect(queued).toBe(0);
    } finally {
      delete (queue as Partial<GPUQueue>).submit;
    }
    expect(await floats(cmd, x)).toEqual([41, 41, 41, 41]);
  });
});

describe('KernelCache', () => {
  test('one compilation per flags and constants', () => {
    const { kernels } = new Commands(device);
    const a = kernels.get(AFFINE);
    expect(kernels.get({ ...AFFINE })).toBe(a);
    expect(kernels.get({ ...AFFINE, constants: { N: 2 } })).not.toBe(a);
    expect(kernels.get({ ...AFFINE, flags: ['X'] })).not.toBe(a);
    expect(kernels.size).toBe(3);
  });

  test('more storage buffers than the device has are refused by name', () => {
    const { kernels } = new Commands(device);
    const count = device.limits.maxStorageBuffersPerShaderStage + 1;
    const source = Array.from(
      { length: count },
      (_, i) => `@group(0) @binding(${i}) var<storage, read> b${i}: array<f32>;`,
    );
    expect(() => kernels.get({ name: 'greedy', source: source.join('\n') })).toThrow(GpuError);
    expect(() => kernels.get({ name: 'greedy', source: source.join('\n') })).toThrow(/greedy binds more than/);
  });
});
