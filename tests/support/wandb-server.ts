/**
 * A stand-in for the interface of Weights & Biases, as far as its own client uses it for a run's history: it keeps what
 * it is sent by its rules, and can fail as servers do.
 */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Fault = number | 'drop';

export interface ServedRun {
  displayName: string;
  config: Record<string, { value: unknown }>;
  history: Record<string, number | string>[];
  summary: Record<string, number | string>;
  exitcode: number | null;
}

export interface WandbServer {
  host: string;
  key: string;
  /** By entity/project/name. */
  runs: Map<string, ServedRun>;
  /** Requests answered well, "upsert", "history", "beat" or "complete", in order. */
  log: string[];
  /** What the next requests come to. */
  faults: Fault[];
  /** Seconds named with faults that ask to wait. */
  retryAfter: number | null;
  close(): Promise<void>;
}

const ENTITY = 'visitor';
const FILE_STREAM = /^\/files\/([^/]+)\/([^/]+)\/([^/]+)\/file_stream$/u;

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const piece of request.setEncoding('utf8')) text += piece;
  return text;
}

type Variables = Record<'name' | 'project' | 'displayName' | 'config', string> & { entity: string | null };
type Stream = { files?: Record<string, { offset: number; content: string[] }>; complete?: boolean; exitcode?: number };

export async function serveWandb(key = 'k'.repeat(40)): Promise<WandbServer> {
  const runs: WandbServer['runs'] = new Map();
  const log: string[] = [];
  const faults: Fault[] = [];
  const state = { retryAfter: null as number | null };

  function upsert({ name, project, entity, displayName, config }: Variables) {
    const path = `${entity ?? ENTITY}/${project}/${name}`;
    const run = runs.get(path) ?? { displayName, config: {}, history: [], summary: {}, exitcode: null };
    runs.set(path, Object.assign(run, { displayName, config: JSON.parse(config), exitcode: null }));
    log.push('upsert');
    const owner = { name: project, entity: { name: entity ?? ENTITY } };
    return { data: { upsertBucket: { bucket: { name, historyLineCount: run.history.length, project: owner } } } };
  }

  /** Lines may be sent twice, but none may be left out. */
  function stream(run: ServedRun, { files = {}, complete, exitcode }: Stream): number {
    const history = files['wandb-history.jsonl'];
    if (history) {
      if (history.offset > run.history.length) return 400;
      run.history.splice(history.offset, history.content.length, ...history.content.map((line) => JSON.parse(line)));
    }
    const summary = files['wandb-summary.json'];
    if (summary) run.summary = JSON.parse(summary.content[0]);
    if (complete) run.exitcode = exitcode ?? null;
    log.push(complete ? 'complete' : history ? 'history' : 'beat');
    return 200;
  }

  const server = createServer(async (request, response) => {
    response.setHeader('Access-Control-Allow-Origin', request.headers.origin ?? '*');
    response.setHeader('Access-Control-Allow-Headers', 'authorization, content-type');
    if (request.method === 'OPTIONS') return response.writeHead(204).end();
    const body = await bodyOf(request);
    const fault = faults.shift();
    if (fault === 'drop') return request.socket.destroy();
    if (fault) {
      const after = state.retryAfter === null ? {} : { 'Retry-After': String(state.retryAfter) };
      return response.writeHead(fault, after).end('no');
    }
    if (request.headers.authorization !== `Basic ${Buffer.from(`api:${key}`).toString('base64')}`)
      return response.writeHead(401).end('no such key');
    const answer = (status: number, json: unknown) =>
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(json));
    if (request.url === '/graphql') {
      const { query, variables } = JSON.parse(body) as { query: string; variables: Variables };
      if (!/\bupsertBucket\(/u.test(query)) return answer(200, { errors: [{ message: 'another question' }] });
      return answer(200, upsert(variables));
    }
    const path = FILE_STREAM.exec(request.url!)?.slice(1).map(decodeURIComponent).join('/');
    const run = path && runs.get(path);
    if (!run) return answer(404, {});
    answer(stream(run, JSON.parse(body)), {});
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return Object.assign(state, {
    host: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ key, runs, log, faults },
    async close() {
      server.closeAllConnections();
      await new Promise<void>((done) => server.close(() => done()));
    },
  });
}
