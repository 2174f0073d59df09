import { describe, expect, test } from 'vitest';
import { GpuError } from '../../src/gpu/errors';
import { bufferSpec, Memory, totalBytes } from '../../src/gpu/memory';
import { download, testDevice } from '../support/gpu';

const device = await testDevice();

describe('Memory', () => {
  test('sizes are rounded up to 16 bytes, and never nothing', () => {
    expect([0, 1, 16, 17, 100].map((n) => bufferSpec('x', 'other', n).bytes)).toEqual([16, 16, 16, 32, 112]);
  });

  test('allocates exactly its table, zeroed', async () => {
    const memory = new Memory(device);
    const specs = [bufferSpec('a', 'weights', 100), bufferSpec('b', 'head', 4)];
    await memory.allocate(specs);
    await memory.allocate([bufferSpec('c', 'other', 32)]);
    expect(memory.bytes).toBe(112 + 16 + 32);
    expect(memory.bytes).toBe(totalBytes(memory.specs));
    expect(memory.get('a').size).toBe(112);
    expect(memory.has('d')).toBe(false);
    expect([...(await download(device, memory.get('a')))].every((v) => v === 0)).toBe(true);
    expect(() => memory.get('d')).toThrow('no buffer named d');
    await expect(memory.allocate([bufferSpec('a', 'weights', 4)])).rejects.toThrow('twice');
    memory.destroy();
    expect(memory.bytes).toBe(0);
  });

  test('a buffer above the device limit is refused with the numbers', async () => {
    const memory = new Memory(device);
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
    const { bytes } = bufferSpec('huge', 'weights', Math.min(maxBufferSize, maxStorageBufferBindingSize) + 1);
    const failure = memory.allocate([bufferSpec('small', 'other', 16), bufferSpec('huge', 'weights', bytes)]);
    await expect(failure).rejects.toMatchObject({ name: 'GpuError', code: 'limits' });
    await expect(failure).rejects.toThrow(new RegExp(`huge needs ${bytes} bytes`));
    expect(memory.bytes).toBe(0);
  });

  test('out of memory: a named error, and nothing stays allocated', async () => {
    // The device itself says that it has no room, as one does whose memory is taken.
    const failing = new Memory(outOfMemory(device));
    await failing.allocate([bufferSpec('kept', 'other', 64)]);
    const failure = failing.allocate([
      bufferSpec('a', 'weights', 2 ** 20),
      bufferSpec('no room', 'weights', 3 * 2 ** 20),
    ]);
    await expect(failure).rejects.toBeInstanceOf(GpuError);
    await expect(failure).rejects.toMatchObject({ code: 'out-of-memory', message: expect.stringContaining('4 MiB') });
    expect(failing.specs.map((s) => s.name)).toEqual(['kept']);
    expect(failing.has('a')).toBe(false);
    failing.destroy();
  });
});

/** The test device, which has no room for a buffer labelled "no room". */
function outOfMemory(real: GPUDevice): GPUDevice {
  let failed = false;
  return new Proxy(real, {
    get(target, key) {
      if (key === 'createBuffer') {
        return (descriptor: GPUBufferDescriptor) => {
          failed ||= descriptor.label === 'no room';
          return target.createBuffer(descriptor);
        };
      }
      if (key === 'popErrorScope') {
        return async () => {
          const error = await target.popErrorScope();
          return failed ? { message: 'out of memory' } : error;
        };
      }
      const value = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
