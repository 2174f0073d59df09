/** Failures of the GPU, each with a stable code and a sentence that says what to do next. */
export class GpuError extends Error {
  override readonly name = 'GpuError';
  readonly code: 'no-webgpu' | 'no-adapter' | 'device-failed' | 'device-lost' | 'out-of-memory' | 'shader' | 'limits';

  constructor(code: GpuError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
