/** The built page on a local static server, under a sub-path, with a record of what was asked for. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { repositoryPath } from './files';

/** Any place will do for a page whose addresses are all relative. */
const SUB_PATH = '/some/where/studio/';

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
};

export interface Site {
  /** Address of the page. */
  url: string;
  /** Paths asked for so far, relative to the page, e.g. "models/index.json". */
  requests: string[];
  /** By how a path ends: such files come slowly up to their middle, and the rest when the promise is kept. */
  holds: Record<string, Promise<void>>;
  close(): Promise<void>;
}

export interface SiteOptions {
  folder?: string;
  /** Address of the Hub, written into the page as whoever serves it may do. */
  hubUrl?: string;
  /** The id of the page's OAuth application there. */
  clientId?: string;
}

/** The page with another Hub in its head and in its policy. */
function withHub(page: Buffer, { hubUrl, clientId = '' }: SiteOptions): Buffer {
  if (!hubUrl) return page;
  const text = page
    .toString()
    .replace(/(<meta name="hub-url" content=")[^"]*/u, `$1${hubUrl}`)
    .replace(/(<meta name="hub-client-id" content=")[^"]*/u, `$1${clientId}`)
    .replace("connect-src 'self'", `connect-src 'self' ${hubUrl}`);
  return Buffer.from(text);
}

/** Serves a folder as a plain static host does: nothing above it, no listing, 404 for the rest. */
export async function serveSite(options: SiteOptions = {}): Promise<Site> {
  const { folder = process.env.STUDIO_DIST ?? repositoryPath('dist') } = options;
  const requests: string[] = [];
  const holds: Site['holds'] = {};
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url!, 'http://x').pathname);
    const name = path.startsWith(SUB_PATH) ? normalize(path.slice(SUB_PATH.length)) : null;
    requests.push(name ?? path);
    const found =
      name === null || name.startsWith('..')
        ? null
        : await readFile(join(folder, name === '.' ? 'index.html' : name)).catch(() => null);
    const body = found && name === '.' ? withHub(found, options) : found;
    if (!body) return response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not here');
    response.writeHead(200, {
      'Content-Type': TYPES[extname(name!) || '.html'] ?? 'application/octet-stream',
      'Content-Length': body.length,
    });
    const hold = Object.entries(holds).find(([end]) => name!.endsWith(end))?.[1];
    if (!hold) return response.end(body);
    const piece = Math.ceil(body.length / 10);
    for (let at = 0; at < body.length && !response.destroyed; at += piece) {
      response.write(body.subarray(at, at + piece));
      await new Promise((later) => setTimeout(later, 120));
      if (at === 4 * piece) await hold;
    }
    response.end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}${SUB_PATH}`,
    requests,
    holds,
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
