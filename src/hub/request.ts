import { HubError } from './errors';
import { pieceReader } from './pieces';

export interface NetworkOptions {
  signal?: AbortSignal;
  /** Attempts without any new byte before giving up; 5. */
  attempts?: number;
  /** Wait before the second attempt, doubled for each further one up to 30 s; 500 ms. */
  backoffMs?: number;
  /** A transfer that brings nothing for so long is broken off and tried again; 30 s. */
  stallMs?: number;
  /** Further headers for an address: a token for the host that gave it, nothing for others. */
  authorize?: (url: string) => Record<string, string>;
  /** The host's own words for a refusal; undefined where it has none. */
  explain?: (response: Response) => Error | undefined;
}

/** A failure that another attempt may cure. */
export class TransientError extends Error {
  /** The server asked for at least this wait. */
  readonly waitMs: number;
  constructor(message: string, options?: ErrorOptions & { waitMs?: number }) {
    super(message, options);
    this.waitMs = options?.waitMs ?? 0;
  }
}

/** A server that asks for a longer wait is not waited for: the visitor decides. */
const LONGEST_WAIT_MS = 5 * 60_000;

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
      const { waitMs } = cause;
      if (failures >= attempts || waitMs > LONGEST_WAIT_MS) {
        const next = waitMs > 0 ? `Try again in ${waitText(waitMs)}` : 'Check the connection and try again';
        throw new HubError(
          'unreachable',
          `${url} cannot be fetched: ${cause.message}. ${next}; what has come so far is kept.`,
          { cause },
        );
      }
      const backoff = Math.min(30_000, backoffMs * 2 ** (failures - 1)) * (0.75 + Math.random() / 2);
      await sleep(Math.max(backoff, waitMs), signal);
    }
  }
}

function waitText(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  return seconds < 120 ? `${seconds} seconds` : `${Math.ceil(seconds / 60)} minutes`;
}

/** Without a word on how long, e.g. because another origin's headers are hidden. */
const TOO_MANY_MS = 10_000;

/**
 * Milliseconds that a refusal asks to wait: by Retry-After (seconds or a date) or RateLimit (t=seconds, as the Hub has
 * it); 0 when it asks for nothing.
 */
function retryAfterMs({ status, headers }: Response): number {
  const text = headers.get('retry-after') ?? /(?:^|;)\s*t=(\d+)/u.exec(headers.get('ratelimit') ?? '')?.[1] ?? null;
  if (text === null) return status === 429 ? TOO_MANY_MS : 0;
  const wait = /^\d+(\.\d+)?$/u.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(wait) ? Math.max(0, wait) : 0;
}

/**
 * One GET, as an iteration over the pieces of its body, each valid until the next is asked for. Network failures, stalls and statuses worth another try become
 * {@link TransientError}; other statuses {@link HubError} `refused`. `onResponse` sees the headers first, also of a 416
 * (range not satisfiable). Leaving the iteration early ends the transfer.
 */
export async function* get(
  url: string,
  headers: Record<string, string>,
  { signal, stallMs = 30_000, authorize, explain }: NetworkOptions,
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
    const request = fetch(url, {
      headers: { ...headers, ...authorize?.(url) },
      signal: abort.signal,
      cache: 'no-store',
      credentials: 'same-origin',
      referrerPolicy: 'no-referrer',
    });
    const response = await watch(request).catch((cause: unknown) => {
      throw transient(cause);
    });
    if (response.ok || response.status === 416) onResponse(response);
    if (!response.ok) throw refusal(response, url, explain);
    const read = response.body ? pieceReader(response.body) : async () => undefined;
    for (;;) {
      const piece = await watch(read()).catch((cause: unknown) => {
        throw transient(cause);
      });
      if (!piece) return;
      yield piece;
    }
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    abort.abort();
  }
}

/** What an answer other than success means. */
export function refusal(response: Response, url: string, explain?: NetworkOptions['explain']): Error {
  const { status, statusText } = response;
  const said = `the server answered ${status} ${statusText}`.trim();
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    return new TransientError(said, { waitMs: retryAfterMs(response) });
  }
  const explained = explain?.(response);
  if (explained) return explained;
  return new HubError('refused', `${url} cannot be fetched: ${said}. Check the address of the model.`);
}

/** One small request, with retries; resolves with an answer of success. Its body must be read within `stallMs`. */
export function ask(url: string, init: RequestInit, options: NetworkOptions): Promise<Response> {
  const { signal, stallMs = 30_000, authorize, explain } = options;
  const headers = new Headers(init.headers);
  for (const [name, value] of Object.entries(authorize?.(url) ?? {})) headers.set(name, value);
  return withRetries(
    url,
    async () => {
      const timeout = AbortSignal.timeout(stallMs);
      const response = await fetch(url, {
        ...init,
        headers,
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
        cache: 'no-store',
        referrerPolicy: 'no-referrer',
      }).catch((cause: unknown) => {
        signal?.throwIfAborted();
        throw new TransientError((cause as Error).message, { cause });
      });
      if (!response.ok) throw refusal(response, url, explain);
      return response;
    },
    options,
  );
}

/** Fetches a small text file, with retries. */
export function getText(url: string, options: NetworkOptions): Promise<string> {
  return withRetries(
    url,
    async () => {
      const decoder = new TextDecoder();
      let text = '';
      for await (const piece of get(url, {}, options)) text += decoder.decode(piece, { stream: true });
      return text + decoder.decode();
    },
    options,
  );
}

/** Fetches a small JSON file, with retries. */
export async function getJson(url: string, options: NetworkOptions): Promise<unknown> {
  const text = await getText(url, options);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new HubError('bad-manifest', `${url} is not JSON. Check the address of the model.`, { cause });
  }
}
