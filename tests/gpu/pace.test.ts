/** Submits by the time they take: what is measured of a device, and how much work the engine hands it at once. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Commands } from '../../src/gpu/commands';
import { Pace, SUBMIT_MS } from '../../src/gpu/pace';
import { testDevice, upload } from '../support/gpu';

describe('the pace', () => {
  it.each([1e5, 1e8, 4e10])('of a device that does %f a millisecond is known after a few submits', (rate) => {
    const pace = new Pace();
    let now = 1000;
    for (let i = 0; i < 12; i++) {
      const cost = pace.budget;
      const submitted = now;
      now += 0.1 + cost / rate;
      pace.done(cost, submitted, now);
    }
    expect(pace.budget).toBeGreaterThan(0.8 * SUBMIT_MS * rate);
    expect(pace.budget).toBeLessThanOrEqual(1.2 * SUBMIT_MS * rate);
  });

  it('counts a submit from when the one before was done, and those heard of together as one', () => {
    const pace = new Pace();
    // All submitted at once; 10 ms each at 1e9 a millisecond, told in pairs.
    for (let i = 1; i <= 20; i++) {
      const now = 20 * Math.ceil(i / 2);
      pace.done(1e10, 0, now);
    }
    expect(pace.budget / (SUBMIT_MS * 1e9)).toBeCloseTo(1, 1);
  });

  it('follows a device that slows down, and is not moved by copies', () => {
    const pace = new Pace();
    for (let i = 1; i <= 10; i++) pace.done(5e10, 0, 50 * i);
    let now = 500;
    for (let i = 0; i < 3; i++) {
      const cost = pace.budget;
      now += cost / 1e8;
      pace.done(cost, 0, now);
    }
    const slow = pace.budget;
    expect(slow / (SUBMIT_MS * 1e8)).toBeLessThan(1.1);
    pace.done(0, now, now + 5000);
    expect(pace.budget).toBe(slow);
  });
});

describe('submits', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  const KERNEL = {
    name: 'one',
    source: `
      @group(0) @binding(0) var<storage, read_write> x: array<f32>;
      @compute @workgroup_size(1) fn main() { x[0] += 1.0; }`,
  };

  it('end before their work exceeds the time, also where nobody breathes; a dispatch too large goes alone', async () => {
    const device = await testDevice();
    const cmd = new Commands(device);
    const x = { buffer: upload(device, new Float32Array(4)) };
    const { queue } = device;
    // A device that does 1e9 a millisecond, whatever it is given.
    let clock = 0;
    let recorded = 0;
    const submits: number[] = [];
    vi.spyOn(performance, 'now').mockImplementation(() => clock);
    const submit = queue.submit.bind(queue);
    vi.spyOn(queue, 'submit').mockImplementation((buffers) => {
      submits.push(recorded);
      return submit(buffers);
    });
    const whenDone = queue.onSubmittedWorkDone.bind(queue);
    vi.spyOn(queue, 'onSubmittedWorkDone').mockImplementation(() => {
      clock += recorded / 1e9;
      recorded = 0;
      return whenDone();
    });
    const record = (milliseconds: number) => {
      const before = submits.length;
      cmd.dispatch(KERNEL, { x }, {}, [1], milliseconds * 1e9);
      // What was recorded before went without this one.
      expect(submits.length - before).toBeLessThanOrEqual(1);
      recorded += milliseconds * 1e9;
    };
    for (let i = 0; i < 20; i++) {
      record(5);
      await cmd.finish();
    }
    submits.length = 0;
    for (let i = 0; i < 100; i++) record(5);
    record(300);
    for (let i = 0; i < 10; i++) record(5);
    await cmd.finish();
    const milliseconds = submits.map((cost) => cost / 1e9);
    expect(milliseconds.reduce((a, b) => a + b)).toBeCloseTo(850, 6);
    expect(milliseconds.filter((ms) => ms > SUBMIT_MS + 5)).toEqual([300]);
    // And they are filled, but for the last before and after the large one: one dispatch less than they may hold.
    const filled = SUBMIT_MS - 5;
    expect(milliseconds.length).toBeLessThanOrEqual(Math.ceil(500 / filled) + 1 + Math.ceil(50 / filled));
    vi.restoreAllMocks();
    expect(new Float32Array(await cmd.read(x, 4))[0]).toBe(131);
  });
});
