/** Bytes of one file from its host, chunk by chunk, over connections that may break. */
import { CHUNK_BYTES, chunkLength, type StoredFile } from '../storage/store';
import type { ProgressMeter } from './progress';
import { get, type NetworkOptions, TransientError, withRetries } from './request';

export interface Transfer {
  file: StoredFile;
  url: string;
  meter: ProgressMeter;
  network: NetworkOptions;
  /** What is known of the host. */
  host: HostRanges;
}

/** Whether the host sends ranges; shared by the transfers of one file. */
export interface HostRanges {
  ranges: 'unknown' | 'yes' | 'no';
}

/** The file on the host is not the one that is being fetched: another length, or (`replaced`) another version. */
export class OtherFile extends Error {
  readonly replaced: boolean;
  constructor(message: string, replaced = false) {
    super(message);
    this.replaced = replaced;
  }
}

/** The host sends only the whole file, so that more than one connection would be waste. */
export class NoRanges extends Error {}

/**
 * Fetches the chunks [first, end) and hands over each in order; the bytes are valid until `take` resolves. After a broken
 * connection it goes on with the byte that did not come. With `onlyRanges` a host that sends the whole file instead is
 * left at once ({@link NoRanges}).
 */
export async function fetchChunks(
  { file, url, meter, network, host }: Transfer,
  first: number,
  end: number,
  take: (bytes: Uint8Array, index: number) => Promise<void>,
  { onlyRanges = false } = {},
): Promise<void> {
  const stop = Math.min(file.size, end * CHUNK_BYTES);
  const buffer = new Uint8Array(Math.min(CHUNK_BYTES, file.size));
  let next = first;
  let filled = 0;

  const attempt = async (progressed: () => void): Promise<void> => {
    if (next === end) return;
    const begin = next * CHUNK_BYTES + filled;
    const ranged = host.ranges !== 'no' && (begin > 0 || stop < file.size);
    let skip = 0;
    const pieces = get(url, ranged ? { Range: `bytes=${begin}-${stop - 1}` } : {}, network, (response) => {
      const answer = readAnswer(response, file, { begin, stop });
      if (ranged) host.ranges = answer === 'compressed' || response.status === 200 ? 'no' : 'yes';
      if (onlyRanges && host.ranges === 'no') throw new NoRanges();
      if (answer === 'compressed') throw new TransientError('the server gave a range of a compressed file');
      if (answer > begin) throw new TransientError('the server gave another range than the one asked for');
      skip = begin - answer;
    });
    for await (const piece of pieces) {
      let rest = piece.subarray(Math.min(skip, piece.length));
      skip -= piece.length - rest.length;
      if (rest.length > 0) progressed();
      while (rest.length > 0 && next < end) {
        const length = chunkLength(file.size, next);
        const part = rest.subarray(0, length - filled);
        buffer.set(part, filled);
        filled += part.length;
        meter.received(part.length);
        rest = rest.subarray(part.length);
        if (filled < length) continue;
        await take(buffer.subarray(0, length), next);
        next++;
        filled = 0;
      }
      if (next < end) continue;
      if (stop < file.size) return; // what follows is not wanted
      if (rest.length > 0) throw new OtherFile(`it is longer than ${file.size} bytes`);
    }
    if (next < end) throw new TransientError(`it ended after ${next * CHUNK_BYTES + filled} of ${file.size} bytes`);
  };
  try {
    await withRetries(url, attempt, network);
  } finally {
    meter.dropped(filled); // a part of a chunk is not stored
  }
}

/** What a host calls a version of a file. */
export const versionOf = (headers: Headers): string | undefined =>
  // A compressed answer may carry a tag of its own for the same file.
  headers
    .get('etag')
    ?.replace(/^W\//u, '')
    .replace(/[-;](?:gzip|br|zstd)(?="$)/u, '') ??
  headers.get('last-modified') ??
  undefined;

/**
 * The offset in the file at which an answer begins (a server may ignore the range and send all), or `compressed` for a
 * range of the file's compressed form. Throws {@link OtherFile} when the answer tells another length of the file or,
 * where no hash is known, another version.
 */
function readAnswer(
  { status, headers, type }: Response,
  { size, version }: StoredFile,
  asked: { begin: number; stop: number },
): number | 'compressed' {
  const encoded = (headers.get('content-encoding') ?? 'identity') !== 'identity';
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/u.exec(headers.get('content-range') ?? '');
  const length = headers.get('content-length');
  if (status === 416) throw new OtherFile(`it is shorter than ${size} bytes`);
  const found = versionOf(headers);
  if (version !== undefined && found !== undefined && found !== version) {
    throw new OtherFile('it was replaced', true);
  }
  if (status === 206 && !range) {
    // A server of another origin may hide Content-Range from pages; it tells the length all the same.
    return !encoded && Number(length) === asked.stop - asked.begin ? asked.begin : 'compressed';
  }
  if (status === 206 && encoded) return 'compressed';
  // Another origin hides Content-Encoding: what it tells may be the length of the compressed form.
  const told = status === 206 ? range?.[2] : encoded || type === 'cors' ? null : length;
  if (told && told !== '*' && Number(told) !== size) throw new OtherFile(`it has ${told} bytes, not ${size}`);
  return status === 206 && range ? Number(range[1]) : 0;
}
