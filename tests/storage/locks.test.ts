import { describe, expect, it } from 'vitest';
import { withModelLock } from '../../src/storage/locks';

/** A promise and the function that settles it. */
function gate() {
  let open = () => {};
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

describe('withModelLock', () => {
  it('lets one at a time change a model, in order, also after a failure', async () => {
    const log: string[] = [];
    const { promise, open } = gate();
    const first = withModelLock('m', async () => {
      log.push('first in');
      await promise;
      log.push('first out');
      throw new Error('failed');
    });
    const second = withModelLock('m', async () => {
      log.push('second');
      return 2;
    });
    const other = withModelLock('n', async () => log.push('other model'));
    await other;
    expect(log).toEqual(['first in', 'other model']);
    open();
    await expect(first).rejects.toThrow('failed');
    expect(await second).toBe(2);
    expect(log).toEqual(['first in', 'other model', 'first out', 'second']);
  });

  it('says so instead of waiting when asked to', async () => {
    const { promise, open } = gate();
    const first = withModelLock('m', () => promise);
    await expect(withModelLock('m', async () => 1, { orFail: true })).rejects.toMatchObject({ code: 'model-busy' });
    open();
    await first;
    expect(await withModelLock('m', async () => 1, { orFail: true })).toBe(1);
  });

  it('gives up waiting when told to', async () => {
    const { promise, open } = gate();
    const first = withModelLock('m', () => promise);
    const abort = new AbortController();
    const second = withModelLock('m', async () => 1, { signal: abort.signal });
    abort.abort(new Error('enough'));
    open();
    await first;
    await expect(second).rejects.toThrow('enough');
  });
});
