/** Why a kept run cannot be used, with what to do about it. */
export class RunError extends Error {
  override readonly name = 'RunError';
  readonly code:
    | 'unknown-run'
    | 'no-checkpoint'
    | 'damaged-run'
    | 'run-busy'
    | 'run-over'
    | 'other-model'
    | 'bad-run-card';

  constructor(code: RunError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
