/** Scripts of the tests, bundled and served to Chromium under the page's own Content-Security-Policy. */
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { build } from 'vite';
import { repositoryPath } from './files';

/** Its own, so that what needs eval or WebAssembly fails in tests as well. */
const POLICY = /http-equiv="Content-Security-Policy"\s+content="([^"]+)"/u;

/** One module of tests/support with all that it imports. */
export async function bundle(entry: string): Promise<string> {
  const output = await build({
    configFile: false,
    logLevel: 'warn',
    publicDir: false,
    build: {
      write: false,
      minify: false,
      target: 'es2023',
      lib: { entry: repositoryPath(`tests/support/${entry}`), formats: ['es'] },
    },
  });
  const [chunk] = [output].flat().flatMap((o) => ('output' in o ? o.output : []));
  return 'code' in chunk ? chunk.code : '';
}

export interface HarnessSite {
  /** Ends in "/". */
  origin: string;
  close(): void;
}

/**
 * A page that runs /harness.js, and the other scripts beside it. Other paths are answered by `other`, with null for 404.
 */
export async function serveHarness(
  scripts: Record<string, string>,
  other: (path: string) => Promise<Buffer | null> = async () => null,
): Promise<HarnessSite> {
  const csp = POLICY.exec(await readFile(repositoryPath('index.html'), 'utf8'))![1];
  const server: Server = createServer(async (request, response) => {
    const path = new URL(request.url!, 'http://x').pathname;
    if (path === '/') {
      response.writeHead(200, { 'Content-Type': 'text/html', 'Content-Security-Policy': csp });
      return response.end(
        '<!doctype html><title>t</title><link rel="icon" href="data:,"><script type="module" src="/harness.js"></script>',
      );
    }
    const script = scripts[path.slice(1)];
    if (script !== undefined) return response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(script);
    const body = await other(path);
    return body ? response.end(body) : response.writeHead(404).end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, close: () => server.close() };
}
