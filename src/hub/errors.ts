export type HubErrorCode =
  | 'unreachable'
  | 'refused'
  | 'bad-manifest'
  | 'wrong-bytes'
  | 'no-room'
  | 'paused'
  /** A gated or private repository, and no token, or one without the right. */
  | 'hub-no-access'
  /** The Hub does not take the token at all: mistyped, expired or revoked. */
  | 'hub-bad-token'
  | 'hub-not-found'
  /** Nothing in it that can be loaded. */
  | 'unsupported-repository'
  | 'bad-address'
  | 'unknown-size'
  | 'folder-denied'
  | 'folder-gone'
  | 'file-changed';

interface HubErrorOptions extends ErrorOptions {
  file?: string;
  url?: string;
}

/** A model that could not be fetched or read. What was stored before stays, and the next try goes on from there. */
export class HubError extends Error {
  readonly code: HubErrorCode;
  readonly file: string | undefined;
  /** Where a person can do something about it, e.g. ask for access. */
  readonly url: string | undefined;
  constructor(code: HubErrorCode, message: string, options: HubErrorOptions = {}) {
    super(message, options);
    this.name = 'HubError';
    this.code = code;
    this.file = options.file;
    this.url = options.url;
  }
}
