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
  /** Bytes a second with which files of a name are sent; others come at once. */
  rates: Record<string, number>;
  close(): Promise<void>;
}

/** Serves a folder as a plain static host does: nothing above it, no listing, 404 for the rest. */
export async function serveSite(folder = process.env.STUDIO_DIST ?? repositoryPath('dist')): Promise<Site> {
  const requests: string[] = [];
  const rates: Site['rates'] = {};
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url!, 'http://x').pathname);
    const name = path.startsWith(SUB_PATH) ? normalize(path.slice(SUB_PATH.length)) : null;
    requests.push(name ?? path);
    const body =
      name === null || name.startsWith('..')
        ? null
        : await readFile(join(folder, name === '.' ? 'index.html' : name)).catch(() => null);
    if (!body) return response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not here');
    response.writeHead(200, {
      'Content-Type': TYPES[extname(name!) || '.html'] ?? 'application/octet-stream',
      'Content-Length': body.length,
    });
    const rate = Object.entries(rates).find(([end]) => name!.endsWith(end))?.[1];
    if (!rate) return response.end(body);
    const piece = Math.ceil(rate / 10);
    for (let at = 0; at < body.length && !response.destroyed; at += piece) {
      response.write(body.subarray(at, at + piece));
      await new Promise((later) => setTimeout(later, 100));
    }
    response.end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}${SUB_PATH}`,
    requests,
    rates,
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
