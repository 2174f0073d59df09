/** A repository of the local Hub: files by commit, as git and LFS name them. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** The bytes of one file, in memory or on disk. */
export interface RepoFile {
  size: number;
  /** SHA-256 of the bytes, hex. */
  sha256: string;
  /** Git's name of the bytes as a blob (SHA-1), hex. */
  gitOid: string;
  read(begin: number, end: number): Promise<Uint8Array>;
}

const gitHash = (size: number) => createHash('sha1').update(`blob ${size}\0`);

export function memoryFile(content: Uint8Array | string): RepoFile {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return {
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    gitOid: gitHash(bytes.length).update(bytes).digest('hex'),
    read: async (begin, end) => bytes.subarray(begin, end),
  };
}

/** Reads the file once for its hashes, and then only the ranges asked for. */
export async function diskFile(path: string): Promise<RepoFile> {
  const { size } = await stat(path);
  const [sha256, git] = [createHash('sha256'), gitHash(size)];
  for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    sha256.update(piece as Buffer);
    git.update(piece as Buffer);
  }
  return {
    size,
    sha256: sha256.digest('hex'),
    gitOid: git.digest('hex'),
    async read(begin, end) {
      const handle = await open(path);
      try {
        const bytes = Buffer.alloc(end - begin);
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, begin);
        return bytes.subarray(0, bytesRead);
      } finally {
        await handle.close();
      }
    },
  };
}

export type RepoFiles = Map<string, RepoFile>;

/** All files of a folder on disk, without those in folders inside it. */
export async function filesOfFolder(folder: string, keep: (name: string) => boolean = () => true): Promise<RepoFiles> {
  const files: RepoFiles = new Map();
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isFile() && keep(entry.name)) files.set(entry.name, await diskFile(join(folder, entry.name)));
  }
  return files;
}

export const filesOf = (contents: Record<string, Uint8Array | string>): RepoFiles =>
  new Map(Object.entries(contents).map(([path, content]) => [path, memoryFile(content)]));

export interface RepoOptions {
  /** Only tokens that were granted access read its files; its listing is public. */
  gated?: false | 'auto' | 'manual';
  /** Only tokens that were granted access see it at all. */
  private?: boolean;
  license?: string;
}

export class HubRepo {
  readonly id: string;
  readonly options: RepoOptions;
  /** By commit. */
  readonly commits = new Map<string, RepoFiles>();
  /** Branches and tags: name to commit. */
  readonly refs = new Map<string, string>();

  constructor(id: string, files: RepoFiles, options: RepoOptions = {}) {
    this.id = id;
    this.options = options;
    this.commit(files);
  }

  /** Adds a commit that holds exactly these files, and moves the branch to it. */
  commit(files: RepoFiles, branch = 'main'): string {
    const hash = createHash('sha1').update(`${this.id} ${this.commits.size} `);
    for (const [path, { sha256 }] of files) hash.update(`${path} ${sha256}\n`);
    const sha = hash.digest('hex');
    this.commits.set(sha, files);
    this.refs.set(branch, sha);
    return sha;
  }

  /** The commit that a branch, tag or commit names. */
  resolve(revision: string): string | undefined {
    return (
      this.refs.get(revision === 'HEAD' ? 'main' : revision) ?? (this.commits.has(revision) ? revision : undefined)
    );
  }
}

/** Whether git keeps only a pointer to the file, as the Hub's .gitattributes say. */
export const isLfs = (path: string, { size }: RepoFile): boolean => path.endsWith('.safetensors') || size > 10e6;

/** One entry of the tree API. */
export function treeEntry(path: string, file: RepoFile): Record<string, unknown> {
  const { size, gitOid, sha256 } = file;
  if (!isLfs(path, file)) return { type: 'file', oid: gitOid, size, path };
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${size}\n`;
  const oid = gitHash(pointer.length).update(pointer).digest('hex');
  return { type: 'file', oid, size, lfs: { oid: sha256, size, pointerSize: pointer.length }, path };
}
