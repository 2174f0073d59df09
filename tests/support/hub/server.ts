/**
 * A local server that speaks the Hub's protocol as far as reading models needs it: model info, file tree by pages, files
 * with a redirect to a "CDN" on another origin, ranges, ETags, gated and private repositories, the Hub's error headers.
 * https://huggingface.co/docs/hub/api
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answeredByFault, type Exchange, head, type LogEntry, refuse, sendFile } from './answer';
import { Faults } from './faults';
import { oauthRoutes } from './oauth';
import { READING } from './reading';
import { HubRepo, type RepoFile, type RepoFiles, type RepoOptions } from './repo';

/** An answer for addresses that match; the match's groups are still percent-encoded. */
export interface Route {
  method: string | null;
  path: RegExp;
  answer(exchange: Exchange, groups: string[], hub: LocalHub): Promise<void> | void;
}

const CORS: Record<string, string> = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Expose-Headers':
    'X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag,Retry-After',
};

export class LocalHub {
  readonly repos = new Map<string, HubRepo>();
  /** Tokens that are valid, with the repositories they may read beyond the public ones. Deleting one expires it. */
  readonly tokens = new Map<string, Set<string>>();
  readonly faults = new Faults();
  readonly log: LogEntry[] = [];
  /** Further answers, tried before the built-in ones. */
  readonly routes: Route[] = [];
  /** Entries of one page of the tree. */
  pageSize = 1000;
  ignoreRanges = false;
  /** Answers of the CDN under way, and the most at a time so far. */
  cdnAnswers = { now: 0, most: 0 };
  /** Links that were signed so far; the CDN refuses others. */
  readonly #links = new Map<string, { repo: HubRepo; file: RepoFile }>();
  readonly #servers: Server[] = [];
  /** Addresses without a slash at the end. */
  url = '';
  cdnUrl = '';

  async listen(): Promise<this> {
    this.routes.push(...READING, ...oauthRoutes());
    this.url = await this.#serve('hub', (exchange) => this.#hub(exchange));
    this.cdnUrl = await this.#serve('cdn', (exchange) => this.#cdn(exchange));
    return this;
  }

  async close(): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    }
  }

  add(id: string, files: RepoFiles, options?: RepoOptions): HubRepo {
    const repo = new HubRepo(id, files, options);
    this.repos.set(id, repo);
    return repo;
  }

  /** Requests so far that were for a file, as "file" or "file bytes=a-b", in the order in which they came. */
  filesAsked(where: 'hub' | 'cdn' = 'hub'): string[] {
    return this.log
      .filter((entry) => entry.where === where && entry.method === 'GET' && /\/resolve\/|^\/cdn\//u.test(entry.path))
      .map(({ path, range }) => [path.split('/').at(-1)!, range].filter(Boolean).join(' '));
  }

  /** Bytes of a file's body that left the servers so far. */
  sent(file: string): number {
    return this.log.reduce((sum, { path, sent }) => sum + (path.endsWith(`/${file}`) ? sent : 0), 0);
  }

  /** Links that were given out so far work no longer. */
  expireLinks(): void {
    this.#links.clear();
  }

  link(repo: HubRepo, path: string, file: RepoFile): string {
    const link = `/cdn/${this.#links.size + 1}-${Math.random().toString(36).slice(2)}/${encodeURIComponent(path)}`;
    this.#links.set(link, { repo, file });
    return this.cdnUrl + link;
  }

  /**
   * The repository, when the request may know of it (and, with `files`, read its files); else the request is answered
   * with the Hub's refusal.
   */
  allowed(exchange: Exchange, id: string, files: boolean): HubRepo | undefined {
    const token = /^Bearer (.+)$/u.exec(exchange.request.headers.authorization ?? '')?.[1];
    const granted = token === undefined ? undefined : this.tokens.get(token);
    if (token !== undefined && !granted) {
      refuse(exchange, 401, undefined, 'Invalid credentials in Authorization header');
      return undefined;
    }
    const repo = this.repos.get(id);
    if (!repo || (repo.options.private && !granted?.has(id))) {
      if (granted) refuse(exchange, 404, 'RepoNotFound', 'Repository not found');
      else refuse(exchange, 401, 'RepoNotFound', 'Invalid username or password.');
      return undefined;
    }
    if (!files || !repo.options.gated || granted?.has(id)) return repo;
    const restricted = `Access to model ${id} is restricted`;
    if (granted)
      refuse(
        exchange,
        403,
        'GatedRepo',
        `${restricted} and you are not in the authorized list. Visit ${this.url}/${id} to ask for access.`,
      );
    else
      refuse(
        exchange,
        401,
        'GatedRepo',
        `${restricted}. You must have access to it and be authenticated to access it. Please log in.`,
      );
    return undefined;
  }

  async #serve(where: LogEntry['where'], answer: (exchange: Exchange) => Promise<void>): Promise<string> {
    const server = createServer((request: IncomingMessage, response: ServerResponse) => {
      for (const [name, value] of Object.entries(CORS)) response.setHeader(name, value);
      if (request.method === 'OPTIONS') {
        response.setHeader('Access-Control-Allow-Methods', 'GET,HEAD,POST,PUT,DELETE');
        response.setHeader('Access-Control-Allow-Headers', request.headers['access-control-request-headers'] ?? '');
        response.writeHead(204).end();
        return;
      }
      const url = new URL(request.url!, `http://${request.headers.host}`);
      const { method = 'GET' } = request;
      const { range, authorization } = request.headers;
      const log: LogEntry = { where, method, path: url.pathname, range, authorization, status: 0, sent: 0 };
      this.log.push(log);
      const fault = this.faults.take({ where, method, path: url.pathname });
      answer({ request, response, url, log, fault }).catch((error: unknown) => {
        if (response.headersSent) response.destroy();
        else response.writeHead(500).end(String(error));
      });
    });
    this.#servers.push(server);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async #hub(exchange: Exchange): Promise<void> {
    if (answeredByFault(exchange)) return;
    for (const { method, path, answer } of this.routes) {
      if (method !== null && method !== exchange.log.method) continue;
      const match = path.exec(exchange.url.pathname);
      if (match) return answer(exchange, match.slice(1), this);
    }
    refuse(exchange, 404, undefined, 'Sorry, we can’t find the page you are looking for.');
  }

  async #cdn(exchange: Exchange): Promise<void> {
    if (answeredByFault(exchange)) return;
    const found = this.#links.get(exchange.url.pathname);
    if (!found) {
      head(exchange, 403, { 'Content-Type': 'application/xml' });
      exchange.response.end('<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>');
      return;
    }
    const { file } = found;
    this.cdnAnswers.now++;
    this.cdnAnswers.most = Math.max(this.cdnAnswers.most, this.cdnAnswers.now);
    exchange.response.once('close', () => this.cdnAnswers.now--);
    await sendFile(exchange, file, { etag: file.sha256, headers: {}, ignoreRanges: this.ignoreRanges, gzip: false });
  }
}

export const serveHub = (): Promise<LocalHub> => new LocalHub().listen();
