/** `fetch` for uploads: tries again what another attempt may cure, and tells how far a body has come. */

/** How @huggingface/hub passes on that it wants to hear of a body's progress. */
interface ProgressHint {
  progressHint?: { part?: number; numParts?: number; progressCallback(progress: number): void };
}

interface UploadFetchOptions {
  signal?: AbortSignal;
  /** Attempts in all; 4. */
  attempts?: number;
  /** Wait before the second attempt, doubled for each further one; 1 s. */
  backoffMs?: number;
}

const worthAnotherTry = (status: number): boolean => status === 408 || status === 429 || status >= 500;

/** Bodies are strings or blobs, which can be sent again. A last answer is handed on, whatever its status. */
export function uploadFetch({ signal, attempts = 4, backoffMs = 1000 }: UploadFetchOptions = {}): typeof fetch {
  return async (input, init) => {
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted();
      let waitMs = backoffMs * 2 ** (attempt - 1);
      try {
        const response = await send(input, init);
        if (!worthAnotherTry(response.status) || attempt >= attempts) return response;
        const asked = Number(response.headers.get('retry-after'));
        if (asked > 0) waitMs = Math.min(60_000, asked * 1000);
        await response.body?.cancel();
      } catch (cause) {
        if (signal?.aborted || init?.signal?.aborted || attempt >= attempts) throw cause;
      }
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  };
}

function send(input: RequestInfo | URL, init: (RequestInit & ProgressHint) | undefined): Promise<Response> {
  const { progressHint: hint, ...rest } = init ?? {};
  const { body } = rest;
  if (!hint || !(body instanceof Blob) || typeof XMLHttpRequest === 'undefined') return fetch(input, rest);
  // Only XMLHttpRequest tells how much of a body has left.
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.upload.onprogress = ({ loaded, total }) => {
      if (!hint.numParts) hint.progressCallback(Math.min(loaded / total, 0.999));
    };
    request.onload = () => {
      const lines = request
        .getAllResponseHeaders()
        .trim()
        .split(/[\r\n]+/u);
      const headers = lines.map((line): [string, string] => {
        const at = line.indexOf(':');
        return [line.slice(0, at), line.slice(at + 1).trim()];
      });
      resolve(
        new Response(request.responseText, { status: request.status, headers: headers.filter(([name]) => name) }),
      );
    };
    request.onerror = () => reject(new TypeError('The connection broke.'));
    request.onabort = () => reject(rest.signal?.reason ?? new DOMException('Aborted', 'AbortError'));
    rest.signal?.addEventListener('abort', () => request.abort(), { once: true });
    request.open(rest.method ?? 'PUT', String(input));
    for (const [name, value] of new Headers(rest.headers)) request.setRequestHeader(name, value);
    request.send(body);
  });
}
