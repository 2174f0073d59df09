export type ExportErrorCode =
  /** The tokenizer cannot be told to llama.cpp. */
  | 'gguf-tokenizer'
  /** A tensor that llama.cpp's Llama does not have. */
  | 'gguf-tensor'
  /** No room where the export goes. */
  | 'export-no-room'
  /** The folder may not be written any more. */
  | 'export-folder-revoked'
  /** The folder, or a file in it, is gone or used by another program. */
  | 'export-folder-failed'
  /** The Hub refuses the token, or this token may not write there. */
  | 'upload-unauthorised'
  | 'upload-forbidden'
  /** The Hub refuses the repository's name, or what is sent. */
  | 'upload-refused'
  /** The Hub has no answer, or fails. */
  | 'upload-failed'
  | 'export-cancelled';

/** An export that could not be made, with what to do. Nothing that looks complete was left behind. */
export class ExportError extends Error {
  override readonly name = 'ExportError';
  readonly code: ExportErrorCode;
  /** Where a person can do something about it. */
  readonly url: string | undefined;
  constructor(code: ExportErrorCode, message: string, options: ErrorOptions & { url?: string } = {}) {
    super(message, options);
    this.code = code;
    this.url = options.url;
  }
}
