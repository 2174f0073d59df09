import { Sha256 } from '../storage/sha256';
import { CHUNK_BYTES, chunkCount, chunkLength, type ModelStore, StorageError, type StoredFile } from '../storage/store';
import { HubError } from './errors';
import type { ProgressMeter } from './progress';
import { get, type NetworkOptions, TransientError, withRetries } from './request';

export interface FileJob {
  store: ModelStore;
  modelId: string;
  file: StoredFile;
  url: string;
  meter: ProgressMeter;
  network: NetworkOptions;
}

/** How often a file is fetched anew because its bytes were wrong, before giving up. */
const REFETCHES = 2;

/**
 * Brings one file wholly into storage: chunks that are there and sound are kept, the others fetched. Resolves only when the
 * SHA-256 of all bytes is the stated one; wrong bytes are deleted and fetched anew, at most twice, then
 * {@link HubError} `wrong-bytes`.
 */
export async function fetchFile(job: FileJob): Promise<void> {
  const { store, modelId, file, url, meter } = job;
  meter.start(file.name);
  for (let refetches = 0; ; refetches++) {
    let problem: string;
    try {
      const found = await fetchOnce(job);
      if (found === file.sha256) return;
      problem = `its SHA-256 is ${found}, not ${file.sha256}`;
    } catch (error) {
      if (!(error instanceof WrongLength)) throw error;
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

/** The file on the host has another length than stated. */
class WrongLength extends Error {}

/** One pass over the file, chunk by chunk; returns the SHA-256 of all its bytes. */
async function fetchOnce(job: FileJob): Promise<string> {
  const { store, modelId, file, meter, network } = job;
  const sha = new Sha256();
  const present = new Set((await store.chunks(modelId, file.name)).map((chunk) => chunk.index));
  const chunks = chunkCount(file.size);
  for (let index = 0; index < chunks; ) {
    network.signal?.throwIfAborted();
    if (present.has(index)) {
      const bytes = await soundChunk(store, modelId, file, index);
      if (bytes) {
        sha.update(bytes);
        meter.found(bytes.length);
        index++;
        continue;
      }
    }
    let end = index + 1;
    while (end < chunks && !present.has(end)) end++;
    await fetchChunks(job, index, end, async (bytes, at) => {
      await store.writeChunk(modelId, file.name, at, bytes);
      sha.update(bytes);
    });
    index = end;
  }
  return sha.digest();
}

async function soundChunk(store: ModelStore, id: string, file: StoredFile, index: number): Promise<Uint8Array | null> {
  try {
    const bytes = await store.readChunk(id, file.name, index);
    return bytes.length === chunkLength(file.size, index) ? bytes : null;
  } catch (error) {
    if (error instanceof StorageError && (error.code === 'corrupt-chunk' || error.code === 'missing-chunk'))
      return null;
    throw error;
  }
}

/**
 * Fetches the chunks [first, end) and hands over each in order; the bytes are valid until `take` resolves. After a failure
 * it goes on with the chunk that was not yet handed over.
 */
export async function fetchChunks(
  job: Pick<FileJob, 'file' | 'url' | 'meter' | 'network'>,
  first: number,
  end: number,
  take: (bytes: Uint8Array, index: number) => Promise<void>,
): Promise<void> {
  const { file, url, meter, network } = job;
  const stop = Math.min(file.size, end * CHUNK_BYTES);
  const buffer = new Uint8Array(Math.min(CHUNK_BYTES, file.size));
  let next = first;
  let rangesWork = true;

  const attempt = async (progressed: () => void): Promise<void> => {
    if (next === end) return;
    const begin = next * CHUNK_BYTES;
    const ranged = rangesWork && (begin > 0 || stop < file.size);
    let skip = 0;
    const pieces = get(url, ranged ? { Range: `bytes=${begin}-${stop - 1}` } : {}, network, (response) => {
      const answer = readAnswer(response, file.size);
      rangesWork = answer !== 'compressed';
      if (answer === 'compressed') throw new TransientError('the server gave a range of a compressed file');
      if (answer > begin) throw new TransientError('the server gave another range than the one asked for');
      skip = begin - answer;
    });
    let filled = 0;
    try {
      for await (const piece of pieces) {
        let rest = piece.subarray(Math.min(skip, piece.length));
        skip -= piece.length - rest.length;
        while (rest.length > 0 && next < end) {
          const length = chunkLength(file.size, next);
          const part = rest.subarray(0, length - filled);
          buffer.set(part, filled);
          filled += part.length;
          meter.received(part.length);
          rest = rest.subarray(part.length);
          if (filled < length) continue;
          await take(buffer.subarray(0, length), next);
          progressed();
          next++;
          filled = 0;
        }
        if (next < end) continue;
        if (stop < file.size) return; // what follows is not wanted
        if (rest.length > 0) throw new WrongLength(`it is longer than ${file.size} bytes`);
      }
    } finally {
      meter.dropped(filled);
    }
    if (next < end) throw new TransientError(`it ended after ${next * CHUNK_BYTES + filled} of ${file.size} bytes`);
  };
  await withRetries(url, attempt, network);
}

/**
 * The offset in the file at which an answer begins (a server may ignore the range and send all), or `compressed` for a
 * range of the file's compressed form. Throws {@link WrongLength} when the answer tells another length of the file.
 */
function readAnswer(response: Response, size: number): number | 'compressed' {
  const { status, headers } = response;
  const encoded = (headers.get('content-encoding') ?? 'identity') !== 'identity';
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/u.exec(headers.get('content-range') ?? '');
  if (status === 416) throw new WrongLength(`it is shorter than ${size} bytes`);
  if (status === 206 && (encoded || !range)) return 'compressed';
  const told = status === 206 ? range?.[2] : encoded ? null : headers.get('content-length');
  if (told && told !== '*' && Number(told) !== size) throw new WrongLength(`it has ${told} bytes, not ${size}`);
  return status === 206 && range ? Number(range[1]) : 0;
}
