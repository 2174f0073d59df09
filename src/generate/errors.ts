/** Why text cannot be generated, with a stable code and a next step. */
export class GenerationError extends Error {
  override readonly name = 'GenerationError';
  readonly code: 'too-long' | 'no-room' | 'no-prompt' | 'bad-setting' | 'cancelled';

  constructor(code: GenerationError['code'], message: string) {
    super(message);
    this.code = code;
  }
}
