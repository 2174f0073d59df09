import type { RowProblem } from './types';

/** A whole file cannot be used, and why. */
export type DataErrorCode =
  | 'empty-file'
  | 'not-text'
  | 'bad-format'
  | 'unknown-schema'
  | 'unpaired'
  | 'no-usable-rows'
  | 'cancelled';

/** `message` is a sentence or two for people; `code` is stable. */
export class DataError extends Error {
  override readonly name = 'DataError';
  readonly code: DataErrorCode;

  constructor(code: DataErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** One row cannot be used, and why. */
export class RowError extends Error {
  override readonly name = 'RowError';
  readonly reason: RowProblem['reason'];

  constructor(reason: RowProblem['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}
