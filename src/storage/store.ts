/** What is kept of models between visits, independent of where it is kept. */

/** Bytes per stored chunk; the last of a file is shorter. */
export const CHUNK_BYTES = 4 * 1024 * 1024;

export interface StoredFile {
  name: string;
  /** Length as the source states it. */
  size: number;
  /** SHA-256 (hex) as the source states it; null where it states none. */
  sha256: string | null;
  /** Git's name of the bytes (SHA-1 of a blob, hex), where the source states that instead. */
  gitOid?: string;
  /** What the source calls this version of the file (ETag or Last-Modified), where it states no hash. */
  version?: string;
  /** True once all bytes are stored and the stated hash was found right. */
  complete: boolean;
}

/** The record of one model. Its chunks can be written only while the record exists. */
export interface ModelRecord {
  id: string;
  /** What the source says of the model (title and so on); the store does not look inside. */
  about: Record<string, unknown>;
  files: StoredFile[];
}

export interface ChunkInfo {
  index: number;
  byteLength: number;
  /** Hex; taken when the chunk was written. */
  sha256: string;
}

export interface StorageUsage {
  /** Bytes this origin uses, and may use; null where the browser does not say. */
  usage: number | null;
  quota: number | null;
}

export interface ModelStore {
  list(): Promise<ModelRecord[]>;
  record(id: string): Promise<ModelRecord | undefined>;
  /** Writes a record whole. Chunks of files that it no longer lists stay until deleted. */
  putRecord(record: ModelRecord): Promise<void>;
  /** Chunks of one file, by index. */
  chunks(id: string, file: string): Promise<ChunkInfo[]>;
  /** Stores chunk and hash in one transaction. Throws {@link StorageError}: `quota-exceeded`, `model-deleted`. */
  writeChunk(id: string, file: string, index: number, bytes: Uint8Array): Promise<void>;
  /**
   * Reads a chunk and checks its hash. The bytes lie in `into`, where that is given and long enough. Throws
   * {@link StorageError}: `missing-chunk`, `corrupt-chunk`.
   */
  readChunk(id: string, file: string, index: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  /** Deletes the chunks of one file. */
  deleteFile(id: string, file: string): Promise<void>;
  /** Deletes record and chunks in one transaction. */
  deleteModel(id: string): Promise<void>;
  usage(): Promise<StorageUsage>;
  /** Remembers that the model is used now. Never rejects. */
  noteUse?(id: string): Promise<void>;
}

export type StorageErrorCode =
  | 'quota-exceeded'
  | 'missing-chunk'
  | 'corrupt-chunk'
  | 'missing-file'
  | 'model-deleted'
  | 'model-busy'
  | 'storage-unavailable'
  | 'storage-failed';

/** A failure of storage. What was stored before is untouched. */
export class StorageError extends Error {
  readonly code: StorageErrorCode;
  constructor(code: StorageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StorageError';
    this.code = code;
  }
}

export const isComplete = (record: ModelRecord | undefined): record is ModelRecord =>
  record?.files.every((file) => file.complete) ?? false;

export const chunkCount = (size: number): number => Math.ceil(size / CHUNK_BYTES);

/** Bytes of the chunk `index` of a file of `size` bytes. */
export const chunkLength = (size: number, index: number): number => Math.min(CHUNK_BYTES, size - index * CHUNK_BYTES);

/** Bytes of a model that are stored so far. */
export async function storedBytes(store: ModelStore, record: ModelRecord | undefined): Promise<number> {
  let bytes = 0;
  for (const file of record?.files ?? []) {
    if (file.complete) bytes += file.size;
    else for (const chunk of await store.chunks(record!.id, file.name)) bytes += chunk.byteLength;
  }
  return bytes;
}
