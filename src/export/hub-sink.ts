/**
 * Writes into a repository of the Hugging Face Hub, as one commit.
 *
 * The Hub wants a large file's SHA-256 before its bytes, so each is written aside first, uploaded by itself and removed:
 * no more than one is on disk, and a few megabytes in memory. An upload belongs to no commit yet; only at the end does one
 * commit name all files. Until then the repository is as it was, and an upload that was broken off leaves nothing in it;
 * a second try skips what the Hub has already.
 *
 * @huggingface/hub uploads and commits in one call. For a large file that call's last request, the commit, is kept here in
 * place of being sent; its lines go into the one commit. (huggingface_hub's preupload_lfs_files does the same in Python.)
 */
import { type CommitOperation, commitIter, createRepo, HubApiError, listFiles } from '@huggingface/hub';
import { ExportError } from './errors';
import type { OutputFile, OutputSink } from './sink';
import type { Spool } from './spool';
import { uploadFetch } from './upload-fetch';

/** Files up to this size stay in memory until the commit; the Hub takes larger ones, and weights, by upload only. */
const SMALL = 10e6;
const UPLOADED = /\.(?:safetensors|gguf)$/u;

export interface HubUpload {
  phase: 'hashing' | 'uploading';
  file: string;
  /** Bytes of this file that have left. */
  bytes: number;
}

export interface HubSinkOptions {
  /** `owner/name` */
  repo: string;
  token: string;
  /** Of a repository that is made now. */
  private: boolean;
  /** Without a slash at the end. */
  hubUrl: string;
  spool: Spool;
  /** Title of the commit. */
  title: string;
  onUpload?: (progress: HubUpload) => void;
  signal?: AbortSignal;
  /** Wait before a second attempt; 1 s. */
  backoffMs?: number;
}

/** Weights of an earlier merged model, which would lie beside the new ones, and their index lead past them. */
const WEIGHTS = /^model.*\.safetensors(?:\.index\.json)?$/u;

export class HubSink implements OutputSink {
  readonly #options: HubSinkOptions;
  readonly #fetch: typeof fetch;
  readonly #isNew: boolean;
  readonly #names = new Set<string>();
  readonly #small: { path: string; content: Blob }[] = [];
  /** Lines of the commit for files that are uploaded. */
  readonly #lines: string[] = [];
  #discard: () => Promise<void> = async () => {};

  /**
   * Makes the repository where it is not there yet.
   * @throws ExportError `upload-unauthorised`, `upload-forbidden`, `upload-refused`, `upload-failed`
   */
  static async open(options: HubSinkOptions): Promise<HubSink> {
    const { repo, token: accessToken, hubUrl, signal, backoffMs } = options;
    if (!/^[\w.-]+\/[\w.-]+$/u.test(repo)) {
      throw new ExportError('upload-refused', `“${repo}” is not the name of a repository. It looks like owner/name.`);
    }
    const visibility = options.private ? 'private' : 'public';
    const request = createRepo({ repo, accessToken, hubUrl, visibility, fetch: uploadFetch({ signal, backoffMs }) });
    const isNew = await request.then(
      () => true,
      (cause: unknown) => {
        if ((cause as HubApiError).statusCode === 409) return false; // it is there
        throw uploadError(cause, options);
      },
    );
    return new HubSink(options, isNew);
  }

  private constructor(options: HubSinkOptions, isNew: boolean) {
    this.#options = options;
    this.#isNew = isNew;
    this.#fetch = uploadFetch(options);
  }

  get url(): string {
    return `${this.#options.hubUrl}/${this.#options.repo}`;
  }

  async open(name: string, byteLength = Number.POSITIVE_INFINITY): Promise<OutputFile> {
    this.#names.add(name);
    if (byteLength <= SMALL && !UPLOADED.test(name)) {
      const parts: Uint8Array<ArrayBuffer>[] = [];
      return {
        write: async (bytes) => {
          parts.push(bytes.slice());
        },
        close: async () => {
          this.#small.push({ path: name, content: new Blob(parts) });
        },
      };
    }
    const file = await this.#options.spool();
    this.#discard = () => file.discard();
    return {
      write: (bytes) => file.write(bytes),
      close: async () => {
        await this.#upload(name, await file.finish());
        await file.discard();
      },
    };
  }

  /** Makes the commit. */
  async close(): Promise<void> {
    const { repo, token: accessToken, hubUrl } = this.#options;
    const operations: CommitOperation[] = this.#small.map((file) => ({ operation: 'addOrUpdate', ...file }));
    try {
      if (!this.#isNew && [...this.#names].some((name) => WEIGHTS.test(name))) {
        for await (const { path } of listFiles({ repo, accessToken, hubUrl, fetch: this.#fetch })) {
          if (WEIGHTS.test(path) && !this.#names.has(path)) operations.push({ operation: 'delete', path });
        }
      }
    } catch (cause) {
      throw uploadError(cause, this.#options);
    }
    await this.#run(operations, (input, init) => this.#fetch(input, { ...init, body: this.#withLines(init?.body) }));
  }

  async abort(): Promise<void> {
    await this.#discard();
  }

  #withLines(body: RequestInit['body']): string {
    return [String(body).trimEnd(), ...this.#lines].join('\n');
  }

  /** Uploads a file, and keeps what the commit has to say of it. */
  async #upload(path: string, content: Blob): Promise<void> {
    await this.#run([{ operation: 'addOrUpdate', path, content }], async (_, init) => {
      const [, ...lines] = String(init?.body).split('\n').filter(Boolean);
      this.#lines.push(...lines);
      return Response.json({ commitOid: '', commitUrl: '', hookOutput: '' });
    });
  }

  /** The library's upload and commit, with `commit` in place of its last request. */
  async #run(operations: CommitOperation[], commit: typeof fetch): Promise<void> {
    const { repo, token: accessToken, hubUrl, title, signal, onUpload = () => {} } = this.#options;
    const sizes = new Map(operations.map((op) => [op.path, 'content' in op ? (op.content as Blob).size : 0]));
    const path = `/api/models/${repo}/commit/`;
    try {
      const events = commitIter({
        repo,
        accessToken,
        hubUrl,
        title,
        operations,
        abortSignal: signal,
        fetch: (input, init) =>
          new URL(String(input)).pathname.startsWith(path) ? commit(input, init) : this.#fetch(input, init),
      });
      for await (const event of events) {
        if (event.event !== 'fileProgress') continue;
        const { state, path: file, progress } = event;
        if (state === 'hashing') onUpload({ phase: 'hashing', file, bytes: 0 });
        else if (state === 'uploading') {
          onUpload({ phase: 'uploading', file, bytes: Math.round(progress * (sizes.get(file) ?? 0)) });
        }
      }
    } catch (cause) {
      throw uploadError(cause, this.#options);
    }
  }
}

function uploadError(cause: unknown, { repo, hubUrl, signal }: HubSinkOptions): unknown {
  if (signal?.aborted) return signal.reason;
  if (cause instanceof ExportError) return cause;
  const { message } = cause as Error;
  const said = message.replace(/\.? ?URL: .*$/su, '');
  const status = cause instanceof HubApiError ? cause.statusCode : 0;
  const url = `${hubUrl}/settings/tokens`;
  if (status === 401 || /access token/iu.test(message)) {
    return new ExportError(
      'upload-unauthorised',
      `The Hub does not take this access token. Make one with write access and try again.`,
      { cause, url },
    );
  }
  if (status === 403 || status === 404) {
    return new ExportError(
      'upload-forbidden',
      `This access token may not write to ${repo} (the Hub says: ${said}). Choose a repository of your own, or make a token with write access to it.`,
      { cause, url },
    );
  }
  if (status >= 400 && status < 500 && status !== 429) {
    return new ExportError(
      'upload-refused',
      `The Hub refused the upload to ${repo}: ${said}. Change what it names and try again.`,
      { cause },
    );
  }
  return new ExportError(
    'upload-failed',
    `The upload to ${repo} did not get through: ${said}. Nothing in the repository has changed. Try again; what the Hub has already is not sent twice.`,
    { cause },
  );
}
