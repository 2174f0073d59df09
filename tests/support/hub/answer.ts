/** Writing answers: JSON as the Hub sends it, files by range, and both with faults. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import type { Fault } from './faults';
import type { RepoFile } from './repo';

/** One request, and what became of it. */
export interface LogEntry {
  where: 'hub' | 'cdn';
  method: string;
  /** Without the query. */
  path: string;
  range: string | undefined;
  /** The Authorization header. */
  authorization: string | undefined;
  status: number;
  /** Bytes of the body handed to the network. */
  sent: number;
}

export interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  url: URL;
  log: LogEntry;
  fault: Fault | undefined;
}

const PIECE = 64 * 1024;
const pause = (ms: number) => new Promise((later) => setTimeout(later, ms));

export function head({ response, log }: Exchange, status: number, headers: Record<string, string | number> = {}): void {
  log.status = status;
  response.writeHead(status, headers);
}

/** A refusal in the Hub's words: in headers and as JSON. */
export function refuse(
  exchange: Exchange,
  status: number,
  errorCode: string | undefined,
  message: string,
  headers: Record<string, string | number> = {},
): void {
  const coded: Record<string, string> = errorCode ? { 'X-Error-Code': errorCode } : {};
  json(exchange, { error: message }, { ...coded, 'X-Error-Message': message, ...headers }, status);
}

/** JSON, compressed where the client takes that. */
export function json(
  exchange: Exchange,
  value: unknown,
  headers: Record<string, string | number> = {},
  status = 200,
): void {
  let body = Buffer.from(JSON.stringify(value));
  const all: Record<string, string | number> = { 'Content-Type': 'application/json; charset=utf-8', ...headers };
  if (/\bgzip\b/u.test(String(exchange.request.headers['accept-encoding'] ?? ''))) {
    body = gzipSync(body);
    all['Content-Encoding'] = 'gzip';
  }
  head(exchange, status, { ...all, 'Content-Length': body.length });
  exchange.log.sent += body.length;
  exchange.response.end(body);
}

/** Answers with the status of a fault, if it is one of that kind. */
export function answeredByFault(exchange: Exchange): boolean {
  const { fault } = exchange;
  if (!fault || !('status' in fault)) return false;
  const headers: Record<string, string | number> =
    fault.retryAfter === undefined ? {} : { 'Retry-After': fault.retryAfter };
  refuse(exchange, fault.status, fault.errorCode, fault.message ?? `Fault ${fault.status}`, headers);
  return true;
}

export interface FileAnswer {
  etag: string;
  headers: Record<string, string | number>;
  ignoreRanges: boolean;
  /** Sent compressed where the client takes that, as the Hub does with text. */
  gzip: boolean;
}

/** A file, or the range asked for (If-Range observed), with the exchange's fault. */
export async function sendFile(exchange: Exchange, file: RepoFile, answer: FileAnswer): Promise<void> {
  const { request, response, fault } = exchange;
  const { size } = file;
  const headers: Record<string, string | number> = {
    ETag: `"${answer.etag}"`,
    'Accept-Ranges': 'bytes',
    'Content-Type': 'application/octet-stream',
    ...answer.headers,
  };
  const ifRange = request.headers['if-range'];
  const asked = /^bytes=(\d+)-(\d*)$/u.exec(request.headers.range ?? '');
  const ranged = asked && !answer.ignoreRanges && (ifRange === undefined || ifRange === `"${answer.etag}"`);
  let [begin, end, status] = [0, size, 200];
  if (ranged) {
    begin = Number(asked[1]);
    end = asked[2] === '' ? size : Math.min(Number(asked[2]) + 1, size);
    if (begin >= size) return refuse(exchange, 416, undefined, 'Range', { 'Content-Range': `bytes */${size}` });
    headers['Content-Range'] = `bytes ${begin}-${end - 1}/${size}`;
    status = 206;
  }
  if (fault && 'body' in fault) {
    head(exchange, 200, { ...headers, 'Content-Length': fault.body.length });
    exchange.log.sent += fault.body.length;
    response.end(fault.body);
    return;
  }
  if (answer.gzip && !ranged && /\bgzip\b/u.test(String(request.headers['accept-encoding'] ?? ''))) {
    const packed = gzipSync(await file.read(0, size));
    head(exchange, 200, { ...headers, 'Content-Encoding': 'gzip', 'Content-Length': packed.length });
    exchange.log.sent += packed.length;
    response.end(request.method === 'HEAD' ? undefined : packed);
    return;
  }
  if (!(fault && 'endAfter' in fault)) headers['Content-Length'] = end - begin;
  head(exchange, status, headers);
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  await sendBody(exchange, file, begin, end);
}

/** Waits until the network takes more, or is gone. */
function writable(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      response.off('drain', go).off('close', go);
      resolve();
    };
    response.on('drain', go).on('close', go);
  });
}

async function sendBody({ response, fault, log }: Exchange, file: RepoFile, begin: number, end: number): Promise<void> {
  const limit = fault && 'dropAfter' in fault ? fault.dropAfter : fault && 'endAfter' in fault ? fault.endAfter : null;
  const stall = fault && 'stallAfter' in fault ? fault.stallAfter : null;
  const stop = begin + Math.min(end - begin, limit ?? stall ?? Number.POSITIVE_INFINITY);
  const rate = fault && 'bytesPerSecond' in fault ? fault.bytesPerSecond : null;
  const piece = rate ? Math.max(1, Math.min(PIECE, Math.ceil(rate / 20))) : PIECE * 8;
  for (let at = begin; at < stop && !response.destroyed; at += piece) {
    const to = Math.min(at + piece, stop);
    let bytes = await file.read(at, to);
    if (fault && 'flipAt' in fault && fault.flipAt >= at && fault.flipAt < to) {
      bytes = Uint8Array.from(bytes);
      bytes[fault.flipAt - at] ^= 1;
    }
    log.sent += bytes.length;
    const more = response.write(bytes);
    if (rate) await pause((bytes.length / rate) * 1000);
    else if (!more) await writable(response);
  }
  if (response.destroyed) return;
  if (fault && 'dropAfter' in fault) {
    // What was written must leave before the connection is broken.
    await pause(5);
    response.destroy();
  } else if (stall === null) response.end();
}
