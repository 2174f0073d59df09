import { afterEach, describe, expect, it } from 'vitest';
import { Engine, EngineError, type EnginePort } from '../../src/app/engine';
import type { WorkerEvent } from '../../src/worker/protocol';

/** Both ends of a real message channel: what the page sends is cloned as it would be to a worker. */
function channel() {
  const { port1, port2 } = new MessageChannel();
  port1.start();
  port2.start();
  open.push(port1, port2);
  const received: { id: number; type: string; args: unknown }[] = [];
  port2.addEventListener('message', (event) => received.push(event.data));
  return { port: port1 as unknown as EnginePort & EventTarget, other: port2, received };
}
const open: MessagePort[] = [];
const settle = () => new Promise((resolve) => setTimeout(resolve, 20));
afterEach(() => {
  for (const port of open.splice(0)) port.close();
});

describe('the engine client', () => {
  it('matches answers to requests by id, in whatever order they come', async () => {
    const { port, other, received } = channel();
    const engine = new Engine(port);
    const first = engine.request('pairs', { role: 'train', offset: 0, limit: 2 });
    const second = engine.request('pairs', { role: 'train', offset: 2, limit: 2 });
    await settle();
    expect(received.map(({ args }) => args)).toEqual([
      { role: 'train', offset: 0, limit: 2 },
      { role: 'train', offset: 2, limit: 2 },
    ]);
    const page = (offset: number) => ({ offset, total: 4, pairs: [] });
    other.postMessage({ id: received[1].id, ok: true, result: page(2) });
    other.postMessage({ id: received[0].id, ok: true, result: page(0) });
    expect(await first).toEqual(page(0));
    expect(await second).toEqual(page(2));
  });

  it('rejects with the code and the sentence of the engine', async () => {
    const { port, other, received } = channel();
    const request = new Engine(port).request('init', { baseUrl: 'http://localhost/' });
    await settle();
    other.postMessage({ id: received[0].id, ok: false, error: { code: 'no-webgpu', message: 'Use Chrome.' } });
    const error = await request.catch((cause) => cause);
    expect(error).toBeInstanceOf(EngineError);
    expect(error).toMatchObject({ code: 'no-webgpu', message: 'Use Chrome.' });
  });

  it('hands events to every listener until it is removed', async () => {
    const { port, other } = channel();
    const engine = new Engine(port);
    const heard: WorkerEvent[] = [];
    const remove = engine.on((event) => heard.push(event));
    other.postMessage({ event: 'dataProgress', bytes: 1, totalBytes: 2 });
    await settle();
    remove();
    other.postMessage({ event: 'dataProgress', bytes: 2, totalBytes: 2 });
    await settle();
    expect(heard).toEqual([{ event: 'dataProgress', bytes: 1, totalBytes: 2 }]);
  });

  it('rejects open and later requests when the thread dies, and says so once', async () => {
    const { port } = channel();
    const engine = new Engine(port);
    const crashes: EngineError[] = [];
    engine.onCrash((error) => crashes.push(error));
    const waiting = engine.request('offers', {}).catch((cause) => cause);
    port.dispatchEvent(Object.assign(new Event('error'), { message: 'boom' }));
    port.dispatchEvent(Object.assign(new Event('error'), { message: 'again' }));
    expect(await waiting).toMatchObject({ code: 'engine-crashed', message: expect.stringContaining('boom') });
    await expect(engine.request('offers', {})).rejects.toMatchObject({ code: 'engine-crashed' });
    expect(crashes).toHaveLength(1);
  });

  it('names what cannot be sent', async () => {
    const { port } = channel();
    const bad = { source: { kind: 'builtin', id: (() => 1) as unknown as string } } as const;
    await expect(new Engine(port).request('loadModel', bad)).rejects.toMatchObject({ code: 'not-sendable' });
  });
});
