/** The part of the contract about what is kept in this browser: see protocol.ts. */

export type StoreBackend = 'indexeddb' | 'opfs';

/** Something kept between visits. */
export interface StoredItem {
  /** What it is, e.g. "model"; ids are unique within a kind. */
  kind: string;
  id: string;
  /** What people call it. */
  name: string;
  /** Bytes that are stored, and those of the whole; they differ where it is not complete. */
  bytes: number;
  totalBytes: number;
  /** Where it lies; null where that is not told apart. */
  backend: StoreBackend | null;
  /** Milliseconds since 1970; null when not known. */
  lastUsed: number | null;
}

/** How fast a backend was found to be, in bytes per second. */
export interface BackendSpeed {
  readBytesPerSecond: number;
  writeBytesPerSecond: number;
}

export interface BackendReport {
  backend: StoreBackend;
  /** Null when it can be used; otherwise why not. */
  unavailable: string | null;
  /** Null until measured. */
  speed: BackendSpeed | null;
  /** New models go here. */
  chosen: boolean;
}

export interface StorageReport {
  items: StoredItem[];
  /** Bytes this site uses and may use; null where the browser does not say. */
  usage: number | null;
  quota: number | null;
  /** Whether the browser keeps it when the disk runs full; null where it does not say. */
  persisted: boolean | null;
  backends: BackendReport[];
}

export interface StorageRequests {
  storage: { args: Record<string, never>; result: StorageReport };
  /** Rejects with `model-busy` while another tab changes it. */
  deleteStored: { args: { kind: string; id: string }; result: StorageReport };
  /** Writes and reads 32 MB on each backend; new models go to the faster one from then on. */
  measureStorage: { args: Record<string, never>; result: StorageReport };
}
