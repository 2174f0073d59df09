/** A model in a folder of any web server: its files have their usual names, and the server tells their sizes. */
import { INDEX_FILE, SINGLE_FILE } from '../formats/checkpoint';
import { HubError } from './errors';
import { COMPANION_NAMES, choose, type ListedFile, type Listing, type RemoteModel, shardsOf } from './remote';
import { ask, get, getJson, type NetworkOptions, withRetries } from './request';
import { versionOf } from './transfer';

/** Statuses with which servers say that a file is not there (stores that list nothing answer 403). */
const ABSENT = new Set([403, 404, 410]);
class Absent extends Error {}

/**
 * The folder's address, without a slash at the end, out of what was typed (which may name a file in it). Throws
 * {@link HubError} `bad-address`.
 */
export function folderUrl(typed: string): string {
  const bad = (why: string) => new HubError('bad-address', `“${typed.trim()}” ${why}`);
  let url: URL;
  try {
    url = new URL(typed.trim());
  } catch {
    throw bad('is not an address. It looks like https://host/folder-of-the-model.');
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw bad('is not a web address (https).');
  if (url.username || url.password) throw bad('holds a password. Use an address without one.');
  if (url.search || url.hash) throw bad('must name a folder, without ? and # parts.');
  const path = url.pathname.replace(/\/[^/]+\.(?:json|safetensors)$/u, '').replace(/\/+$/u, '');
  return url.origin + path;
}

/** A model under this address, as {@link folderUrl} gives it. */
export function urlModel(baseUrl: string): RemoteModel {
  const address = (file: string) => `${baseUrl}/${encodeURIComponent(file)}`;
  return {
    id: baseUrl,
    network: {},
    address,
    async list(_before, options): Promise<Listing> {
      const network = {
        ...options,
        explain: ({ status }: Response) => (ABSENT.has(status) ? new Absent() : undefined),
      };
      const found = new Map<string, ListedFile>();
      const look = async (name: string) => {
        const file = await probe(address(name), name, network);
        if (file) found.set(name, file);
        return file;
      };
      if (!(await look('config.json'))) {
        throw new HubError(
          'unsupported-repository',
          `There is no config.json under ${baseUrl}. Check the address: it must be the folder of a whole model.`,
        );
      }
      await Promise.all(COMPANION_NAMES.map(look));
      if (!(await look(SINGLE_FILE)) && (await look(INDEX_FILE))) {
        const shards = shardsOf(await getJson(address(INDEX_FILE), network), baseUrl);
        await Promise.all(shards.map(look));
      }
      const names = await choose([...found.keys()], baseUrl, (file) => getJson(address(file), network));
      return { about: { source: { kind: 'url', url: baseUrl } }, files: names.map((name) => found.get(name)!) };
    },
  };
}

/** Length and version of a file; null when it is not there. Throws {@link HubError} `unknown-size`. */
async function probe(url: string, name: string, network: NetworkOptions): Promise<ListedFile | null> {
  try {
    const { size, headers } = await (name.endsWith('.safetensors') ? sizeOfWeights : sizeOfText)(url, network);
    // Hosts of single-page sites answer every address with their page.
    if (headers.get('content-type')?.startsWith('text/html')) return null;
    const version = versionOf(headers);
    return { name, size, sha256: null, ...(version ? { version } : {}) };
  } catch (error) {
    if (error instanceof Absent) return null;
    throw error;
  }
}

type Sized = Promise<{ size: number; headers: Headers }>;

async function sizeOfWeights(url: string, network: NetworkOptions): Sized {
  const { headers } = await ask(url, { method: 'HEAD' }, network);
  const length = headers.get('content-length');
  if (length !== null && (headers.get('content-encoding') ?? 'identity') === 'identity') {
    return { size: Number(length), headers };
  }
  const answer = await ask(url, { headers: { Range: 'bytes=0-0' } }, network);
  await answer.body?.cancel();
  const total = Number(answer.headers.get('content-range')?.split('/')[1]);
  if (answer.status === 206 && total > 0) return { size: total, headers: answer.headers };
  throw new HubError(
    'unknown-size',
    `The server does not tell how large ${url} is. Serve the folder from another server.`,
  );
}

/** Text may come compressed, which a server of another origin need not tell: its length is known once it was read. */
function sizeOfText(url: string, network: NetworkOptions): Sized {
  return withRetries(
    url,
    async () => {
      let size = 0;
      let headers = new Headers();
      const pieces = get(url, {}, network, (response) => {
        headers = response.headers;
      });
      for await (const piece of pieces) size += piece.length;
      return { size, headers };
    },
    network,
  );
}
