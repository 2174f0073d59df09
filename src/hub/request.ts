import { HubError } from './errors';

export interface NetworkOptions {
  signal?: AbortSignal;
  /** Attempts without any new byte before giving up; 5. */
  attempts?: number;
  /** Wait before the second attempt, doubled for each further one up to 30 s; 500 ms. */
  backoffMs?: number;
  /** A transfer that brings nothing for so long is broken off and tried again; 30 s. */
  stallMs?: number;
}

/** A failure that another attempt may cure. */
export class TransientError extends Error {}

/** Rejects with the signal's reason when it fires. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}

/**
 * Runs `attempt` until it succeeds, with growing waits after transient failures. An attempt that made progress (called
 * its argument) gets all its retries anew. Throws {@link HubError} `unreachable` in the end.
 */
export async function withRetries<T>(
  url: string,
  attempt: (progressed: () => void) => Promise<T>,
  { signal, attempts = 5, backoffMs = 500 }: NetworkOptions,
): Promise<T> {
  for (let failures = 0; ; ) {
    signal?.throwIfAborted();
    try {
      return await attempt(() => {
        failures = 0;
      });
    } catch (cause) {
      signal?.throwIfAborted();
      if (!(cause instanceof TransientError)) throw cause;
      failures++;
      if (failures >= attempts) {
        throw new HubError(
          'unreachable',
          `${url} cannot be fetched: ${cause.message}. Check the connection and try again; what has come so far is kept.`,
          { cause },
        );
      }
      await sleep(Math.min(30_000, backoffMs * 2 ** (failures - 1)) * (0.75 + Math.random() / 2), signal);
    }
  }
}

/**
 * One GET, as an iteration over the pieces of its body. Network failures, stalls and statuses worth another try become
 * {@link TransientError}; other statuses {@link HubError} `refused`. `onResponse` sees the headers first, also of a 416
 * (range not satisfiable). Leaving the iteration early ends the transfer.
 */
export async function* get(
  url: string,
  headers: Record<string, string>,
  { signal, stallMs = 30_000 }: NetworkOptions,
  onResponse: (response: Response) => void = () => {},
): AsyncGenerator<Uint8Array> {
  const abort = new AbortController();
  const stop = () => abort.abort(signal?.reason);
  if (signal?.aborted) stop();
  signal?.addEventListener('abort', stop, { once: true });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const watch = <T>(step: Promise<T>): Promise<T> => {
    timer = setTimeout(() => abort.abort(new Error(`nothing came for ${stallMs / 1000} s`)), stallMs);
    return step.finally(() => clearTimeout(timer));
  };
  const transient = (cause: unknown) => {
    signal?.throwIfAborted();
    const reason = abort.signal.aborted ? (abort.signal.reason as Error) : (cause as Error);
    return new TransientError(reason.message, { cause });
  };
  try {
    const request = fetch(url, { headers, signal: abort.signal, cache: 'no-store', credentials: 'same-origin' });
    const response = await watch(request).catch((cause: unknown) => {
      throw transient(cause);
    });
    if (response.ok || response.status === 416) onResponse(response);
    checkStatus(response, url);
    const reader = response.body?.getReader();
    for (;;) {
      const next = await watch(reader?.read() ?? Promise.resolve({ done: true, value: undefined } as const)).catch(
        (cause: unknown) => {
          throw transient(cause);
        },
      );
      if (next.done) return;
      yield next.value;
    }
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    abort.abort();
  }
}

function checkStatus({ status, statusText, ok }: Response, url: string): void {
  if (ok) return;
  const said = `the server answered ${status} ${statusText}`.trim();
  if (status === 408 || status === 425 || status === 429 || status >= 500) throw new TransientError(said);
  throw new HubError('refused', `${url} cannot be fetched: ${said}. Check the address of the model.`);
}

/** Fetches a small JSON file, with retries. */
export function getJson(url: string, options: NetworkOptions): Promise<unknown> {
  return withRetries(
    url,
    async () => {
      const decoder = new TextDecoder();
      let text = '';
      for await (const piece of get(url, {}, options)) text += decoder.decode(piece, { stream: true });
      try {
        return JSON.parse(text + decoder.decode());
      } catch (cause) {
        throw new HubError('bad-manifest', `${url} is not JSON. Check the address of the model.`, { cause });
      }
    },
    options,
  );
}
