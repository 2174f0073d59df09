/** What uploading asks of the Hub: making a repository, pre-upload, LFS batch with its storage, and commits. */
import { createHash } from 'node:crypto';
import { type Exchange, head, json, refuse } from './answer';
import { isLfs, memoryFile, type RepoFiles } from './repo';
import type { LocalHub } from './server';

export interface UploadSide {
  /** Tokens that may write, with the owner for whom. */
  writers: Map<string, string>;
  /** Files of more bytes go up in parts of this size. */
  partBytes: number;
  /** So many bodies sent to the storage are cut off half-way. */
  cutOff: number;
  /** Bodies sent to the storage are not answered before this. */
  hold: Promise<void> | null;
  /** What the storage holds, by SHA-256, whether a commit names it or not. */
  objects: Map<string, Uint8Array>;
  /** Bytes that came into the storage. */
  received: number;
  /** Titles of commits. */
  commits: string[];
}

async function bodyOf(exchange: Exchange): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of exchange.request) parts.push(part);
  return Buffer.concat(parts);
}

/** The token's owner, when it may write for `owner`; else the request is answered with the Hub's refusal. */
function mayWrite(exchange: Exchange, side: UploadSide, owner: string): boolean {
  const token = /^Bearer (.+)$/u.exec(exchange.request.headers.authorization ?? '')?.[1] ?? '';
  const own = side.writers.get(token);
  if (own === undefined) refuse(exchange, 401, undefined, 'Invalid username or password.');
  else if (own !== owner) {
    refuse(exchange, 403, undefined, `You don't have the rights to create a model under the namespace "${owner}"`);
  }
  return own === owner;
}

interface CommitLine {
  key: 'header' | 'file' | 'lfsFile' | 'deletedFile';
  value: { summary?: string; path: string; content?: string; oid?: string; size?: number };
}

/** Lets the local Hub take uploads. Its storage lies on the Hub's own address under /storage. */
export function acceptUploads(hub: LocalHub): UploadSide {
  const side: UploadSide = {
    writers: new Map(),
    partBytes: Number.POSITIVE_INFINITY,
    cutOff: 0,
    hold: null,
    objects: new Map(),
    received: 0,
    commits: [],
  };
  const parts = new Map<string, Buffer[]>();
  const keep = (oid: string, bytes: Uint8Array): boolean => {
    if (createHash('sha256').update(bytes).digest('hex') !== oid) return false;
    side.objects.set(oid, bytes);
    return true;
  };
  hub.routes.push(
    {
      method: 'POST',
      path: /^\/api\/repos\/create$/u,
      async answer(exchange) {
        const { name, organization, visibility } = JSON.parse((await bodyOf(exchange)).toString());
        if (!mayWrite(exchange, side, organization)) return;
        const id = `${organization}/${name}`;
        if (hub.repos.has(id)) return refuse(exchange, 409, undefined, 'You already created this model repo');
        hub.add(id, new Map([['.gitattributes', memoryFile('*.safetensors filter=lfs\n')]]), {
          private: visibility === 'private',
        });
        const token = /Bearer (.+)/u.exec(exchange.request.headers.authorization!)![1];
        hub.tokens.set(token, new Set([...(hub.tokens.get(token) ?? []), id]));
        json(exchange, { url: `${hub.url}/${id}`, id });
      },
    },
    {
      method: 'POST',
      path: /^\/api\/models\/([^/]+)\/([^/]+)\/preupload\/main$/u,
      async answer(exchange, [owner]) {
        const { files } = JSON.parse((await bodyOf(exchange)).toString());
        if (!mayWrite(exchange, side, owner)) return;
        json(exchange, {
          files: (files as { path: string; size: number }[]).map(({ path, size }) => ({
            path,
            uploadMode: isLfs(path, { size } as never) ? 'lfs' : 'regular',
          })),
        });
      },
    },
    {
      method: 'POST',
      path: /^\/([^/]+)\/([^/]+)\.git\/info\/lfs\/objects\/batch$/u,
      async answer(exchange, [owner]) {
        const { objects } = JSON.parse((await bodyOf(exchange)).toString());
        if (!mayWrite(exchange, side, owner)) return;
        const answers = (objects as { oid: string; size: number }[]).map(({ oid, size }) => {
          if (side.objects.has(oid)) return { oid, size };
          const href = `${hub.url}/storage/${oid}`;
          if (size <= side.partBytes) return { oid, size, actions: { upload: { href } } };
          parts.set(oid, []);
          const header: Record<string, string> = { chunk_size: String(side.partBytes) };
          for (let n = 1; n <= Math.ceil(size / side.partBytes); n++)
            header[String(n).padStart(5, '0')] = `${href}/${n}`;
          return { oid, size, actions: { upload: { href, header } } };
        });
        json(exchange, { transfer: 'basic', objects: answers });
      },
    },
    {
      method: 'PUT',
      path: /^\/storage\/([0-9a-f]{64})(?:\/(\d+))?$/u,
      async answer(exchange, [oid, part]) {
        if (side.cutOff > 0) {
          side.cutOff--;
          for await (const piece of exchange.request) {
            side.received += piece.length;
            break;
          }
          exchange.request.socket.destroy();
          return;
        }
        const bytes = await bodyOf(exchange);
        await side.hold;
        side.received += bytes.length;
        if (part !== undefined) parts.get(oid)![Number(part) - 1] = bytes;
        else if (!keep(oid, bytes)) return refuse(exchange, 400, undefined, 'The bytes are not those of the hash.');
        head(exchange, 200, { ETag: `"${bytes.length}"`, 'Access-Control-Expose-Headers': 'ETag' });
        exchange.response.end();
      },
    },
    {
      method: 'POST',
      path: /^\/storage\/([0-9a-f]{64})$/u,
      async answer(exchange, [oid]) {
        await bodyOf(exchange);
        if (!keep(oid, Buffer.concat(parts.get(oid) ?? []))) return refuse(exchange, 400, undefined, 'wrong parts');
        json(exchange, {});
      },
    },
    {
      method: 'POST',
      path: /^\/api\/models\/([^/]+)\/([^/]+)\/commit\/main$/u,
      async answer(exchange, [owner, name]) {
        const lines: CommitLine[] = (await bodyOf(exchange))
          .toString()
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line));
        if (!mayWrite(exchange, side, owner)) return;
        const repo = hub.repos.get(`${owner}/${name}`);
        if (!repo) return refuse(exchange, 404, 'RepoNotFound', 'Repository not found');
        const files: RepoFiles = new Map(repo.commits.get(repo.refs.get('main')!));
        for (const { key, value } of lines) {
          if (key === 'file') files.set(value.path, memoryFile(Buffer.from(value.content!, 'base64')));
          if (key === 'deletedFile') files.delete(value.path);
          if (key !== 'lfsFile') continue;
          const bytes = side.objects.get(value.oid!);
          if (bytes?.length !== value.size) return refuse(exchange, 400, undefined, `${value.path} was not uploaded`);
          files.set(value.path, memoryFile(bytes!));
        }
        side.commits.push(lines[0].value.summary!);
        const commitOid = repo.commit(files);
        json(exchange, { commitOid, commitUrl: `${hub.url}/${repo.id}/commit/${commitOid}`, hookOutput: '' });
      },
    },
  );
  return side;
}
