/** One file of a model, brought wholly into storage over several connections at once. */
import { CHUNK_BYTES, chunkCount, chunkLength, type ModelStore, StorageError, type StoredFile } from '../storage/store';
import { statedDigest } from './digest';
import { HubError } from './errors';
import { HashFront } from './front';
import type { ProgressMeter } from './progress';
import type { NetworkOptions } from './request';
import { fetchChunks, type HostRanges, NoRanges, OtherFile } from './transfer';

export interface FileJob {
  store: ModelStore;
  modelId: string;
  file: StoredFile;
  url: string;
  meter: ProgressMeter;
  network: NetworkOptions;
}

/** Connections at a time. */
const CONNECTIONS = 4;
/** Chunks that one request asks for: at least 16 MiB, which is worth a connection, and at most 64 MiB. */
const [LEAST_SPAN, MOST_SPAN] = [4, 16];
/** How often a file is fetched anew because its bytes were wrong, before giving up. */
const REFETCHES = 2;

/**
 * Brings one file wholly into storage: chunks that are there and sound are kept, the others fetched. Resolves only when
 * its bytes have the stated hash, where one is stated; wrong bytes are deleted and fetched anew, at most twice, then
 * {@link HubError} `wrong-bytes`.
 */
export async function fetchFile(job: FileJob): Promise<void> {
  const { store, modelId, file, url, meter } = job;
  meter.start(file);
  for (let refetches = 0; ; refetches++) {
    let problem: string | null;
    try {
      problem = await fetchOnce(job);
      if (problem === null) return;
    } catch (error) {
      if (!(error instanceof OtherFile)) throw error;
      if (error.replaced) throw replaced(url, file.name);
      problem = error.message;
    }
    meter.restart();
    await store.deleteFile(modelId, file.name);
    if (refetches >= REFETCHES) {
      throw new HubError(
        'wrong-bytes',
        `${url} is not what the model's list of files states: ${problem}. It was fetched ${refetches + 1} times and is not used. ` +
          'Try again later, or tell the host of the model.',
        { file: file.name },
      );
    }
  }
}

const replaced = (url: string, file: string) =>
  new HubError(
    'file-changed',
    `${url} was replaced on the server while it was fetched. Load the model again: changed files start afresh.`,
    { file },
  );

type Span = readonly [first: number, end: number];

/** One pass over the file; returns what is wrong with its bytes, or null. */
async function fetchOnce(job: FileJob): Promise<string | null> {
  const { store, modelId, file, meter, network } = job;
  const chunks = chunkCount(file.size);
  const stored = new Set((await store.chunks(modelId, file.name)).map(({ index }) => index));
  for (const index of stored) meter.found(chunkLength(file.size, index));
  const digest = statedDigest(file);
  const scratch = new Uint8Array(Math.min(CHUNK_BYTES, file.size));
  const front =
    digest &&
    new HashFront({
      digest,
      chunks,
      stored,
      read: async (index) => {
        network.signal?.throwIfAborted();
        return soundChunk(store, modelId, file, index, scratch);
      },
      hashed: (bytes) => {
        if (stored.size === chunks) meter.checked(bytes);
      },
    });
  front?.advance();
  let missing = spansOf(chunks, stored);
  for (;;) {
    network.signal?.throwIfAborted();
    await fetchSpans(job, missing, async (bytes, index) => {
      if (stored.has(index)) return meter.dropped(bytes.length); // came again with the whole file
      await store.writeChunk(modelId, file.name, index, bytes);
      stored.add(index);
      front?.offer(bytes, index);
    });
    const wanted = (await front?.settle()) ?? null;
    if (wanted === null) return digest?.problem() ?? null;
    // It was stored, and is lost or changed.
    stored.delete(wanted);
    meter.dropped(chunkLength(file.size, wanted));
    missing = [[wanted, wanted + 1]];
  }
}

/** Runs of chunks that are not stored, cut so that all connections have work and none has too much at a time. */
function spansOf(chunks: number, stored: ReadonlySet<number>): Span[] {
  const most = Math.min(MOST_SPAN, Math.max(LEAST_SPAN, Math.ceil((chunks - stored.size) / CONNECTIONS)));
  const spans: Span[] = [];
  for (let index = 0; index < chunks; ) {
    if (stored.has(index)) {
      index++;
      continue;
    }
    let end = index + 1;
    while (end < chunks && end - index < most && !stored.has(end)) end++;
    spans.push([index, end]);
    index = end;
  }
  return spans;
}

type Take = (bytes: Uint8Array, index: number) => Promise<void>;

/** Fetches spans over several connections; a failure of one ends the others. */
async function fetchSpans({ file, url, meter, network }: FileJob, spans: Span[], take: Take): Promise<void> {
  const stop = new AbortController();
  const signal = network.signal ? AbortSignal.any([network.signal, stop.signal]) : stop.signal;
  const host: HostRanges = { ranges: 'unknown' };
  const transfer = { file, url, meter, network: { ...network, signal }, host };
  const waiting = [...spans];
  const one = async () => {
    for (let span = waiting.shift(); span; span = waiting.shift()) {
      await fetchChunks(transfer, ...span, take, { onlyRanges: spans.length > 1 });
    }
  };
  const lanes = Array.from({ length: Math.min(CONNECTIONS, spans.length) }, one);
  try {
    await Promise.all(lanes);
  } catch (error) {
    stop.abort(error);
    await Promise.allSettled(lanes);
    if (!(error instanceof NoRanges)) throw error;
    // The whole file comes with every answer: one connection for all that is missing.
    await fetchChunks({ ...transfer, network }, spans[0][0], spans.at(-1)![1], take);
  }
}

async function soundChunk(
  store: ModelStore,
  id: string,
  file: StoredFile,
  index: number,
  into: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array | null> {
  try {
    const bytes = await store.readChunk(id, file.name, index, into);
    return bytes.length === chunkLength(file.size, index) ? bytes : null;
  } catch (error) {
    if (error instanceof StorageError && (error.code === 'corrupt-chunk' || error.code === 'missing-chunk'))
      return null;
    throw error;
  }
}
