/** Why a run cannot start or go on, with what to do about it. */
export class TrainingError extends Error {
  override readonly name = 'TrainingError';
  readonly code: 'non-finite' | 'bad-settings' | 'no-pairs' | 'bad-checkpoint';

  constructor(code: TrainingError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
