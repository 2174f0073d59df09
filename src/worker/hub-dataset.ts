/**
 * Data sets of the Hugging Face hub, by name: their Parquet files (the hub makes them of every public data set) are
 * read by ranges, so that a row limit fetches no more than it needs.
 *
 * https://huggingface.co/docs/dataset-viewer/parquet
 */
import { DataError } from '../data/errors';
import type { ByteSource } from '../formats/bytes';
import type { SourcePart } from './data-source';
import type { HubListing, HubSource } from './protocol';

/** A data set that cannot be had. */
export class HubError extends Error {
  override readonly name = 'HubError';
  readonly code: 'hub-unreachable' | 'hub-no-access' | 'hub-not-found' | 'hub-failed';

  constructor(code: HubError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

const NAME = /^[\w.-]+(?:\/[\w.-]+)?$/;

/** "owner/name" out of what was typed, which may be the address of the data set's page. */
export function datasetName(typed: string): string {
  const name = typed
    .trim()
    .replace(/^https?:\/\/[^/]+\//, '')
    .replace(/^datasets\//, '')
    .split(/[?#]/)[0]
    .split('/')
    .slice(0, 2)
    .join('/');
  if (!NAME.test(name) || name.includes('..')) {
    throw new HubError('hub-not-found', `“${typed.trim()}” is not the name of a data set, such as "owner/name".`);
  }
  return name;
}

async function ask(url: string, dataset: string, token: string | undefined, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token) headers.set('Authorization', `Bearer ${token}`);
  let response: Response;
  try {
    response = await fetch(url, { ...init, headers, referrerPolicy: 'no-referrer', credentials: 'omit' });
  } catch (cause) {
    if (init.signal?.aborted) throw new DataError('cancelled', 'Reading the data set was cancelled.');
    throw new HubError(
      'hub-unreachable',
      `The Hugging Face hub cannot be reached (${new URL(url).host}). Check the connection, or download the file elsewhere and drop it here.`,
      { cause },
    );
  }
  if (response.ok) return response;
  if (response.status === 401 || response.status === 403) {
    throw new HubError(
      'hub-no-access',
      token
        ? `This token does not open ${dataset}. Accept its terms on the hub, and give the token the right to read gated repositories.`
        : `${dataset} does not exist, or is gated or private. Check the name, or enter an access token that may read it.`,
    );
  }
  if (response.status === 404) {
    throw new HubError(
      'hub-not-found',
      `The hub has no data set ${dataset}, or no Parquet files of it. Check the name.`,
    );
  }
  throw new HubError('hub-failed', `The hub answered ${response.status} for ${dataset}. Try again later.`);
}

type ParquetFiles = Record<string, Record<string, string[]>>;

async function parquetFiles(hub: string, dataset: string, token?: string, signal?: AbortSignal): Promise<ParquetFiles> {
  const response = await ask(`${hub}/api/datasets/${dataset}/parquet`, dataset, token, { signal });
  const listing = (await response.json().catch(() => null)) as ParquetFiles | null;
  if (listing === null || typeof listing !== 'object' || Object.keys(listing).length === 0) {
    throw new HubError('hub-not-found', `The hub has no Parquet files of ${dataset}.`);
  }
  return listing;
}

/** Configurations and splits of a data set. Throws `HubError`. */
export async function listHubDataset(hub: string, typed: string, token?: string): Promise<HubListing> {
  const dataset = datasetName(typed);
  const listing = await parquetFiles(hub, dataset, token);
  const configs = Object.entries(listing).map(([name, splits]) => ({
    name,
    splits: Object.entries(splits).map(([split, files]) => ({ name: split, files: files.length })),
  }));
  return { dataset, configs };
}

/** Bytes of a file: from a HEAD request or, where that does not tell, from the answer to a range. */
async function sizeOf(url: string, dataset: string, token: string | undefined, signal: AbortSignal): Promise<number> {
  const head = await ask(url, dataset, token, { method: 'HEAD', signal });
  const length = Number(head.headers.get('X-Linked-Size') ?? head.headers.get('Content-Length') ?? 0);
  if (length > 0) return length;
  const answer = await ask(url, dataset, token, { headers: { Range: 'bytes=0-0' }, signal });
  await answer.body?.cancel();
  const total = Number(answer.headers.get('Content-Range')?.split('/')[1] ?? 0);
  if (total > 0) return total;
  throw new HubError('hub-failed', `The hub does not tell how large the files of ${dataset} are.`);
}

function rangeSource(
  url: string,
  size: number,
  dataset: string,
  token: string | undefined,
  signal: AbortSignal,
): ByteSource {
  return {
    size,
    async read(begin, end) {
      if (begin >= end) return new Uint8Array();
      const response = await ask(url, dataset, token, { headers: { Range: `bytes=${begin}-${end - 1}` }, signal });
      const bytes = new Uint8Array(await response.arrayBuffer());
      // A server that knows no ranges sends all of it.
      const wanted = response.status === 200 && bytes.length > end - begin ? bytes.slice(begin, end) : bytes;
      if (wanted.length !== end - begin) {
        throw new HubError(
          'hub-failed',
          `The hub sent ${wanted.length} bytes of ${dataset} instead of ${end - begin}.`,
        );
      }
      return wanted;
    },
  };
}

/** The Parquet files of one split, ready to be read by ranges. Throws `HubError`, `DataError` `cancelled`. */
export async function openHubSplit(hub: string, source: HubSource, signal: AbortSignal): Promise<SourcePart[]> {
  const dataset = datasetName(source.dataset);
  const { token } = source;
  const files = (await parquetFiles(hub, dataset, token, signal))[source.config]?.[source.split] ?? [];
  if (files.length === 0) {
    throw new HubError('hub-not-found', `${dataset} has no split ${source.split} in ${source.config}.`);
  }
  const sizes = await Promise.all(files.map((url) => sizeOf(url, dataset, token, signal)));
  return files.map((url, i) => ({
    name: `${dataset} ${source.split}${files.length > 1 ? ` ${i + 1} of ${files.length}` : ''}`,
    size: sizes[i],
    open: () => rangeSource(url, sizes[i], dataset, token, signal),
  }));
}
