/** What reading models asks of the Hub: model info, the tree by pages, and files. */
import { type Exchange, head, json, refuse, sendFile } from './answer';
import { type HubRepo, isLfs, treeEntry } from './repo';
import type { Route } from './server';

/** The commit of a revision, or the Hub's refusal. */
export function commitOf(exchange: Exchange, repo: HubRepo, revision: string): string | undefined {
  const commit = repo.resolve(decodeURIComponent(revision));
  if (!commit) refuse(exchange, 404, 'RevisionNotFound', `Invalid rev id: ${decodeURIComponent(revision)}`);
  return commit;
}

export const READING: Route[] = [
  {
    method: 'GET',
    path: /^\/api\/models\/(.+)\/revision\/([^/]+)$/u,
    answer(exchange, [id, revision], hub) {
      const repo = hub.allowed(exchange, id, false);
      const commit = repo && commitOf(exchange, repo, revision);
      if (!repo || !commit) return;
      const { gated = false, private: hidden = false, license } = repo.options;
      const info: Record<string, unknown> = {
        pipeline_tag: 'text-generation',
        private: hidden,
        gated,
        downloads: 1,
        likes: 1,
        lastModified: '2025-01-01T00:00:00.000Z',
        sha: commit,
        cardData: license ? { license } : {},
        siblings: [...repo.commits.get(commit)!.keys()].map((rfilename) => ({ rfilename })),
      };
      const wanted = exchange.url.searchParams.getAll('expand');
      const fields = Object.entries(info).filter(([key]) => wanted.length === 0 || wanted.includes(key));
      json(exchange, { _id: commit.slice(0, 24), id, ...Object.fromEntries(fields) });
    },
  },
  {
    method: 'GET',
    path: /^\/api\/models\/(.+)\/tree\/([^/]+)$/u,
    answer(exchange, [id, revision], hub) {
      const repo = hub.allowed(exchange, id, false);
      const commit = repo && commitOf(exchange, repo, revision);
      if (!repo || !commit) return;
      const { url } = exchange;
      const entries = [...repo.commits.get(commit)!].map(([path, file]) => treeEntry(path, file));
      const begin = Number(url.searchParams.get('cursor') ?? 0);
      const end = begin + hub.pageSize;
      const next = new URL(url);
      next.searchParams.set('cursor', String(end));
      json(exchange, entries.slice(begin, end), end < entries.length ? { Link: `<${next.href}>; rel="next"` } : {});
    },
  },
  {
    method: null,
    path: /^\/(.+)\/resolve\/([^/]+)\/(.+)$/u,
    async answer(exchange, [id, revision, name], hub) {
      const repo = hub.allowed(exchange, id, true);
      const commit = repo && commitOf(exchange, repo, revision);
      if (!repo || !commit) return;
      const path = decodeURIComponent(name);
      const file = repo.commits.get(commit)!.get(path);
      if (!file) return refuse(exchange, 404, 'EntryNotFound', 'Entry not found', { 'X-Repo-Commit': commit });
      const headers = { 'X-Repo-Commit': commit };
      if (!isLfs(path, file)) {
        const etag = file.gitOid;
        await sendFile(exchange, file, { etag, headers, ignoreRanges: hub.ignoreRanges, gzip: true });
        return;
      }
      head(exchange, 302, {
        ...headers,
        Location: hub.link(repo, path, file),
        'X-Linked-ETag': `"${file.sha256}"`,
        'X-Linked-Size': file.size,
        'Content-Length': 0,
      });
      exchange.response.end();
    },
  },
];
