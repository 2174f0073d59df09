/**
 * The most memory that the page, its worker and the GPU took while something ran. JavaScript memory is what DevTools'
 * Runtime.getHeapUsage tells of a thread: objects in V8's heap (`usedSize`) and the bytes of its array buffers
 * (`backingStorageSize`), both with garbage that was not collected yet. What the browser holds outside V8 (messages on
 * their way, bytes for the GPU, values read from IndexedDB before they are decoded) is in neither.
 */
import { execFile } from 'node:child_process';
import type { CDPSession, Page } from 'playwright-core';

export interface MemoryPeak {
  /** Bytes of JavaScript memory with array buffers, at most; null where the browser did not tell. */
  page: number | null;
  worker: number | null;
  /** The largest part of array buffers in it, and of objects; not of one moment. */
  workerBuffers: number | null;
  workerObjects: number | null;
  /** MiB in use on the GPU by everybody, before and at most; null without nvidia-smi. */
  gpuBefore: number | null;
  gpu: number | null;
}

export interface HeapUsage {
  usedSize: number;
  backingStorageSize?: number;
}

export const bytesOf = ({ usedSize, backingStorageSize = 0 }: HeapUsage): number => usedSize + backingStorageSize;
const most = (a: number | null, b: number | null): number | null => (b === null ? a : Math.max(a ?? 0, b));

function gpuMiB(): Promise<number | null> {
  return new Promise((resolve) => {
    const args = ['--query-gpu=memory.used', '--format=csv,noheader,nounits'];
    execFile('nvidia-smi', args, (error, output) => resolve(error ? null : Number(output.split('\n')[0])));
  });
}

/** Asks a worker for its heap through the page's session. */
class WorkerHeap {
  readonly #session: CDPSession;
  readonly #waiting = new Map<number, (usage: HeapUsage | null) => void>();
  #target: string | null = null;
  #calls = 0;

  constructor(session: CDPSession) {
    this.#session = session;
    session.on('Target.attachedToTarget', ({ sessionId, targetInfo }) => {
      if (targetInfo.type === 'worker') this.#target = sessionId;
    });
    session.on('Target.receivedMessageFromTarget', ({ message }) => {
      const { id, result } = JSON.parse(message) as { id: number; result?: HeapUsage };
      this.#waiting.get(id)?.(result ?? null);
      this.#waiting.delete(id);
    });
  }

  start(): Promise<unknown> {
    const how = { autoAttach: true, waitForDebuggerOnStart: false, flatten: false };
    return this.#session.send('Target.setAutoAttach', how);
  }

  async read(): Promise<HeapUsage | null> {
    if (this.#target === null) return null;
    const id = ++this.#calls;
    const answer = new Promise<HeapUsage | null>((resolve) => {
      this.#waiting.set(id, resolve);
      setTimeout(resolve, 5000, null);
    });
    const message = JSON.stringify({ id, method: 'Runtime.getHeapUsage' });
    await this.#session.send('Target.sendMessageToTarget', { sessionId: this.#target, message });
    return answer;
  }
}

/** Samples until the answer is called, which gives the peaks. */
export async function watchMemory(
  page: Page,
  onWorker: (usage: HeapUsage) => void = () => {},
  everyMs = 100,
): Promise<() => Promise<MemoryPeak>> {
  const session = await page.context().newCDPSession(page);
  const worker = new WorkerHeap(session);
  await worker.start();
  const gpuBefore = await gpuMiB();
  const peak: MemoryPeak = {
    ...{ page: null, worker: null, workerBuffers: null, workerObjects: null },
    ...{ gpuBefore, gpu: gpuBefore },
  };
  let going = true;
  const loop = async () => {
    while (going) {
      const usage = await session.send('Runtime.getHeapUsage').catch(() => null);
      peak.page = most(peak.page, usage && bytesOf(usage));
      const own = await worker.read().catch(() => null);
      peak.worker = most(peak.worker, own && bytesOf(own));
      peak.workerBuffers = most(peak.workerBuffers, own && (own.backingStorageSize ?? 0));
      peak.workerObjects = most(peak.workerObjects, own?.usedSize ?? null);
      if (own) onWorker(own);
      await new Promise((later) => setTimeout(later, everyMs));
    }
  };
  const gpuLoop = async () => {
    while (going && gpuBefore !== null) {
      peak.gpu = most(peak.gpu, await gpuMiB());
      await new Promise((later) => setTimeout(later, 250));
    }
  };
  const loops = Promise.all([loop(), gpuLoop()]);
  return async () => {
    going = false;
    await loops;
    await session.detach().catch(() => undefined);
    return peak;
  };
}
