import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import type { ModelManifest } from '../../src/hub/manifest';

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Bytes that do not repeat, the same each time. */
export function pseudoRandomBytes(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4));
  let x = seed;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** How the server misbehaves for its next answer for a file. */
export type Fault =
  | { status: number }
  /** The connection breaks after so many bytes of the body. */
  | { dropAfter: number }
  /** The connection stays open but brings no more. */
  | { stallAfter: number }
  | { body: Uint8Array }
  /** Ends properly after so many bytes, without a Content-Length. */
  | { endAfter: number };

export interface ModelServer {
  /** Address of the folder with manifest.json. */
  baseUrl: string;
  manifest: ModelManifest;
  /** Requests so far, as "file" or "file bytes=a-b". */
  requests: string[];
  /** Faults by file, one used up per request. */
  faults: Record<string, Fault[]>;
  ignoreRanges: boolean;
  gzip: boolean;
  close(): Promise<void>;
}

/** A real HTTP server of one model, with ranges, that fails as told. */
export async function serveModel(files: Record<string, Uint8Array>, id = 'tiny'): Promise<ModelServer> {
  const manifest: ModelManifest = {
    id,
    title: 'Tiny',
    about: 'A model for tests.',
    format: 'F32',
    parameters: 1,
    fineOnCpu: true,
    files: Object.entries(files).map(([name, bytes]) => ({ name, size: bytes.length, sha256: sha256(bytes) })),
  };
  const state: Omit<ModelServer, 'baseUrl' | 'close'> = {
    manifest,
    requests: [],
    faults: {},
    ignoreRanges: false,
    gzip: false,
  };

  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const name = decodeURIComponent(request.url!.split('/').at(-1)!);
    const range = request.headers.range;
    state.requests.push(range ? `${name} ${range}` : name);
    const fault: Fault | undefined = state.faults[name]?.shift();
    if (fault && 'status' in fault) return response.writeHead(fault.status).end();
    let body = name === 'manifest.json' ? Buffer.from(JSON.stringify(manifest)) : files[name];
    if (name === 'index.json') {
      const downloadBytes = manifest.files.reduce((sum, file) => sum + file.size, 0);
      body = Buffer.from(JSON.stringify({ models: [{ ...manifest, files: undefined, downloadBytes }] }));
    }
    if (fault && 'body' in fault) body = fault.body;
    if (!body) return response.writeHead(404).end();
    const headers: Record<string, string> = {};
    if (state.gzip) {
      body = gzipSync(body);
      headers['Content-Encoding'] = 'gzip';
    }
    let status = 200;
    const match = state.ignoreRanges ? null : /^bytes=(\d+)-(\d+)$/u.exec(range ?? '');
    if (match) {
      const [begin, end] = [Number(match[1]), Math.min(Number(match[2]), body.length - 1)];
      if (begin >= body.length) return response.writeHead(416, { 'Content-Range': `bytes */${body.length}` }).end();
      headers['Content-Range'] = `bytes ${begin}-${end}/${body.length}`;
      body = body.subarray(begin, end + 1);
      status = 206;
    }
    if (fault && 'endAfter' in fault) return response.writeHead(status, headers).end(body.subarray(0, fault.endAfter));
    headers['Content-Length'] = String(body.length);
    response.writeHead(status, headers);
    if (fault && 'dropAfter' in fault) {
      response.write(body.subarray(0, fault.dropAfter), () => setTimeout(() => response.destroy(), 50));
    } else if (fault && 'stallAfter' in fault) response.write(body.subarray(0, fault.stallAfter));
    else response.end(body);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, {
    baseUrl: `http://127.0.0.1:${port}/models/${id}`,
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  });
}
