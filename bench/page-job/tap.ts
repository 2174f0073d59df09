/** Listens to what page and worker say to one another, with the time of each message, without taking part. */
import type { Page } from 'playwright-core';

export interface TappedRequest {
  type: string;
  /** Milliseconds on the page's clock, from when it began to load. */
  start: number;
  /** Null while it is not answered. */
  end: number | null;
  ok: boolean;
  /** Why it was refused. */
  error: string | null;
}

export interface Phase {
  first: number;
  last: number;
  /** Bytes at the first and at the last message, and of the whole. */
  firstBytes: number;
  bytes: number;
  totalBytes: number;
}

export interface Tapped {
  requests: TappedRequest[];
  /** Of the last load, by name. */
  phases: Record<string, Phase>;
  steps: { time: number; step: number; loss: number }[];
  evals: { time: number; step: number; loss: number }[];
  exported: { bytes: number; files: number } | null;
  /** The last answer about storage. */
  storage: unknown;
}

/** For an init script: counts on `window.tapped`. */
export function tapWorker(): void {
  const tapped: Tapped = { requests: [], phases: {}, steps: [], evals: [], exported: null, storage: null };
  const byId = new Map<number, TappedRequest>();
  const now = () => performance.now();
  const RealWorker = window.Worker;
  window.Worker = class extends RealWorker {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      this.addEventListener('message', ({ data }) => {
        const time = now();
        if (data.event === 'modelProgress') {
          const { phase, bytes, totalBytes } = data.progress;
          const known = tapped.phases[phase] ?? { first: time, firstBytes: bytes };
          tapped.phases[phase] = { ...known, last: time, bytes, totalBytes };
        } else if (data.event === 'step') {
          tapped.steps.push({ time, step: data.record.step, loss: data.record.loss });
        } else if (data.event === 'eval') {
          tapped.evals.push({ time, step: data.record.step, loss: data.record.eval_loss });
        }
        const request = byId.get(data.id);
        if (!request) return;
        Object.assign(request, { end: time, ok: data.ok, error: data.ok ? null : data.error.message });
        if (!data.ok) return;
        if (request.type === 'measureStorage' || request.type === 'storage') tapped.storage = data.result;
        if (request.type === 'export') {
          const files = data.result.files as { bytes: number }[];
          tapped.exported = { bytes: files.reduce((sum, file) => sum + file.bytes, 0), files: files.length };
        }
      });
    }

    override postMessage(message: { id: number; type: string }, ...rest: unknown[]): void {
      const request = { type: message.type, start: now(), end: null, ok: false, error: null };
      byId.set(message.id, request);
      tapped.requests.push(request);
      if (message.type === 'loadModel') tapped.phases = {};
      if (message.type === 'train') Object.assign(tapped, { steps: [], evals: [] });
      (super.postMessage as (...all: unknown[]) => void)(message, ...rest);
    }
  };
  Object.assign(window, { tapped });
}

export const readTap = (page: Page): Promise<Tapped> =>
  page.evaluate(() => (window as unknown as { tapped: Tapped }).tapped);

/**
 * Does something that makes the page send a request of this type, and waits for its answer. Throws what the engine said
 * when it was refused.
 */
export async function answered(
  page: Page,
  type: string,
  timeout: number,
  work: () => Promise<unknown>,
): Promise<TappedRequest & { end: number }> {
  const ofType = async () => (await readTap(page)).requests.filter((request) => request.type === type);
  const before = (await ofType()).length;
  await work();
  await page.waitForFunction(
    ([wanted, count]) => {
      const { requests } = (window as unknown as { tapped: Tapped }).tapped;
      return requests.filter((request) => request.type === wanted)[count]?.end != null;
    },
    [type, before] as const,
    { timeout, polling: 100 },
  );
  const { end, ...request } = (await ofType())[before];
  if (!request.ok) throw new Error(`${type}: ${request.error}`);
  return { ...request, end: end! };
}
