/** Why a run cannot start or go on, with what to do about it. */
export class TrainingError extends Error {
  override readonly name = 'TrainingError';
  readonly code: 'non-finite' | 'bad-settings' | 'no-pairs';

  constructor(code: TrainingError['code'], message: string) {
    super(message);
    this.code = code;
  }
}
