export type HubErrorCode = 'unreachable' | 'refused' | 'bad-manifest' | 'wrong-bytes' | 'no-room';

/** A model that could not be fetched. What was stored before stays, and the next try goes on from there. */
export class HubError extends Error {
  readonly code: HubErrorCode;
  readonly file: string | undefined;
  constructor(code: HubErrorCode, message: string, options: ErrorOptions & { file?: string } = {}) {
    super(message, options);
    this.name = 'HubError';
    this.code = code;
    this.file = options.file;
  }
}
