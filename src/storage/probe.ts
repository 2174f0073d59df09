/** How fast a backend is, measured with the very calls that store models. */
import { CHUNK_BYTES, type ModelStore } from './store';

export interface Speed {
  readBytesPerSecond: number;
  writeBytesPerSecond: number;
}

const CHUNKS = 8;
const PROBE_ID = 'speed-probe';

/** Whether a record is that of a measurement, which no list should show. */
export const isProbe = (id: string): boolean => id === PROBE_ID;

/** Writes and reads 32 MB, and deletes them. Rejects with what the store reports; nothing is left then either. */
export async function measureStore(store: ModelStore): Promise<Speed> {
  const bytes = new Uint8Array(CHUNK_BYTES);
  // Not the same everywhere: a browser may store compressed.
  for (let i = 0, x = 1; i < bytes.length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[i] = x >>> 24;
  }
  const rate = (ms: number) => (CHUNKS * CHUNK_BYTES) / (Math.max(ms, 0.1) / 1000);
  try {
    await store.putRecord({ id: PROBE_ID, about: {}, files: [] });
    const began = performance.now();
    for (let i = 0; i < CHUNKS; i++) await store.writeChunk(PROBE_ID, 'bytes', i, bytes);
    const written = performance.now();
    for (let i = 0; i < CHUNKS; i++) await store.readChunk(PROBE_ID, 'bytes', i, bytes);
    const read = performance.now();
    return { writeBytesPerSecond: rate(written - began), readBytesPerSecond: rate(read - written) };
  } finally {
    await store.deleteModel(PROBE_ID).catch(() => undefined);
  }
}
