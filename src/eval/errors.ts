/** Why an evaluation cannot be made, with a stable code and a next step. */
export class EvaluationError extends Error {
  override readonly name = 'EvaluationError';
  readonly code: 'unknown-task' | 'no-items' | 'bad-item' | 'bad-setting' | 'too-long' | 'no-text' | 'cancelled';

  constructor(code: EvaluationError['code'], message: string) {
    super(message);
    this.code = code;
  }
}
