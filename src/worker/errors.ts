/** Any failure as the page shows it. */
import type { StudioError } from './protocol';

/** Errors of this project carry a stable `code` and a sentence; anything else is told as it is. */
export function studioError(error: unknown): StudioError {
  if (error instanceof Error) {
    const { code, url } = error as { code?: unknown; url?: unknown };
    return {
      code: typeof code === 'string' ? code : error.name || 'unexpected',
      message: error.message,
      ...(typeof url === 'string' ? { url } : {}),
    };
  }
  return { code: 'unexpected', message: String(error) };
}

/** A request that cannot be served now. */
export class StateError extends Error {
  override readonly name = 'StateError';
  readonly code:
    | 'no-model'
    | 'no-data'
    | 'busy'
    | 'nothing-to-export'
    | 'plan-blocked'
    | 'no-device'
    | 'no-adapter'
    | 'no-timestamps'
    | 'no-run'
    | 'unknown-model'
    | 'unknown-kind'
    | 'in-use'
    | 'unknown-data';

  constructor(code: StateError['code'], message: string) {
    super(message);
    this.code = code;
  }
}
