/**
 * The page's end of the engine thread: requests become promises, events go to listeners.
 *
 * A crash of the thread rejects every open request, and every later one, with code `engine-crashed`.
 */
import type { FromWorker, Requests, RequestType, StudioError, WorkerEvent } from '../worker/protocol';

/** An error from the engine. `code` is stable; `message` says what to do next. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: string;
  /** Where a person can do something about it. */
  readonly url: string | undefined;
  constructor(error: StudioError) {
    super(error.message);
    this.code = error.code;
    this.url = error.url;
  }
}

/** What the client needs of a Worker (a MessagePort has it as well). */
export interface EnginePort {
  postMessage(message: unknown): void;
  addEventListener(type: 'message' | 'messageerror' | 'error', listener: (event: Event) => void): void;
}

interface Pending {
  resolve(result: never): void;
  reject(error: EngineError): void;
}

export class Engine {
  readonly #port: EnginePort;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: WorkerEvent) => void>();
  readonly #crashListeners = new Set<(error: EngineError) => void>();
  #nextId = 1;
  #crash: EngineError | null = null;

  constructor(port: EnginePort) {
    this.#port = port;
    port.addEventListener('message', (event) => this.#receive((event as MessageEvent<FromWorker>).data));
    port.addEventListener('messageerror', () => this.#crashed('an answer could not be read'));
    port.addEventListener('error', (event) => {
      const detail = (event as ErrorEvent).message;
      this.#crashed(detail || 'its script could not be loaded or run');
    });
  }

  /** Sends one request. Rejects with an {@link EngineError}. */
  request<K extends RequestType>(type: K, args: Requests[K]['args']): Promise<Requests[K]['result']> {
    if (this.#crash) return Promise.reject(this.#crash);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as Pending['resolve'], reject });
      try {
        this.#port.postMessage({ id, type, args });
      } catch (cause) {
        this.#pending.delete(id);
        const detail = cause instanceof Error ? cause.message : String(cause);
        reject(new EngineError({ code: 'not-sendable', message: `The engine cannot be given this: ${detail}` }));
      }
    });
  }

  /** Listens to events; the answer removes the listener. */
  on(listener: (event: WorkerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Called once when the thread dies. */
  onCrash(listener: (error: EngineError) => void): () => void {
    this.#crashListeners.add(listener);
    return () => this.#crashListeners.delete(listener);
  }

  #receive(message: FromWorker): void {
    if (!('id' in message)) {
      for (const listener of this.#listeners) listener(message);
      return;
    }
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    this.#pending.delete(message.id);
    if (message.ok) pending.resolve(message.result as never);
    else pending.reject(new EngineError(message.error));
  }

  #crashed(detail: string): void {
    if (this.#crash) return;
    this.#crash = new EngineError({
      code: 'engine-crashed',
      message: `The engine stopped unexpectedly (${detail}). Reload the page to start it again; stored models are kept.`,
    });
    for (const { reject } of this.#pending.values()) reject(this.#crash);
    this.#pending.clear();
    for (const listener of this.#crashListeners) listener(this.#crash);
  }
}

/** Starts the engine thread of this page. */
export function startEngine(): Engine {
  return new Engine(new Worker(new URL('../worker/worker.ts', import.meta.url), { type: 'module' }));
}
