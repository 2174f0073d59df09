/** The part of the protocol that is about writing results out. */

export type ExportKind = 'merged' | 'gguf' | 'adapter' | 'log-jsonl' | 'log-csv';
/**
 * `trained`: the weights training saw, dequantised where they were 4-bit. `source`: the model's own 16-bit weights.
 * `nf4`: as `trained`, quantised to NF4 again.
 */
export type MergeBase = 'trained' | 'source' | 'nf4';
/** `source`: each weight as the model has it, or had it before it was quantised. */
export type OutputDtype = 'source' | 'F32' | 'BF16' | 'F16';
export type GgufType = 'F16' | 'Q8_0';

/** What is written, whatever the place. */
export interface ExportForm {
  kind: ExportKind;
  /** Dtype of merged weights; ignored for other kinds, and with the base `nf4` for the weights that are quantised. */
  dtype: OutputDtype;
  /** What the adapter is added to; `trained` when absent. One of the model's `mergeBases`. */
  base?: MergeBase;
  /** Of the kind `gguf`; `Q8_0` when absent. */
  gguf?: GgufType;
  /** Of the kind `merged`: above so many bytes of weights a new file begins; one file when absent. */
  shardBytes?: number;
}

/** A repository on the Hugging Face Hub. It is made when it is not there. */
export interface HubTarget {
  /** `owner/name` */
  repo: string;
  /** Of a repository that is made now. */
  private: boolean;
  /** With the right to write. It goes to the Hub alone and is not kept. */
  token: string;
}

export interface ExportOptions extends ExportForm {
  /** Write into a new folder in this one. */
  directory?: FileSystemDirectoryHandle;
  /** Upload as one commit. Without it and a directory the answer carries a stream of one file (zip, jsonl or csv). */
  hub?: HubTarget;
}

export interface ExportResult {
  files: { name: string; bytes: number }[];
  /** Present when neither a directory nor a repository was given. */
  download?: { name: string; mimeType: string; stream: ReadableStream<Uint8Array> };
  /** Where the files can be seen. */
  repository?: { url: string };
}

export interface ExportSize {
  /** Bytes of all files with weights, headers included. */
  bytes: number;
  /** How many such files there are. */
  weightFiles: number;
}

export interface ExportProgress {
  /** `hashing` and `uploading` of a file that was written aside for the Hub. */
  phase: 'writing' | 'hashing' | 'uploading';
  file: string;
  /** Of all the work; an upload counts half for writing and half for sending. */
  bytes: number;
  totalBytes: number;
}

export interface ExportRequests {
  /** Rejects with the codes of export/errors.ts, and `export-cancelled` after `cancelExport`. One at a time. */
  export: { args: ExportOptions; result: ExportResult };
  /** How large it will be; nothing of the weights is read. */
  exportSize: { args: ExportForm; result: ExportSize };
  /** Ends the export in work, a download's too. Whatever it has written is taken back. */
  cancelExport: { args: Record<string, never>; result: Record<string, never> };
}
