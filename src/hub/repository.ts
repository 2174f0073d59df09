/**
 * Models of the Hugging Face Hub: what a repository holds, at which commit, and the Hub's own words when it refuses.
 * https://huggingface.co/docs/hub/api, https://huggingface.co/docs/hub/models-gated
 */
import { type ListFileEntry, listFiles, modelInfo } from '@huggingface/hub';
import { HubError } from './errors';
import { choose, type ListedFile, type Listing, type RemoteModel } from './remote';
import { ask, getJson, type NetworkOptions, TransientError } from './request';

export interface HubPlace {
  /** Address of the Hub, without a slash at the end. */
  hubUrl: string;
  /** An access token, or one that a sign-in gave. Goes to the Hub's own address and to no other. */
  token?: string;
}

export interface RepositoryName {
  repo: string;
  /** Branch, tag or commit. */
  revision: string;
}

/** What is remembered of a repository beside its files. */
export interface RepositoryAbout {
  source: { kind: 'hub' } & RepositoryName;
  /** The commit that the revision named when it was listed; files are fetched from it and no other. */
  commit: string;
  license: string | null;
  gated: boolean;
}

const NAME = /^[\w.-]+(?:\/[\w.-]+)?$/u;

/**
 * Repository and revision out of what was typed: "owner/name", "owner/name@revision" or the address of a page of it.
 * Throws {@link HubError} `bad-address`.
 */
export function repositoryName(typed: string): RepositoryName {
  const path = typed
    .trim()
    .replace(/^(?:https?:\/\/)?(?:huggingface\.co|hf\.co)\//u, '')
    .split(/[?#]/u)[0]
    .replace(/\/+$/u, '');
  const page = /^([^/]+\/[^/]+)\/(?:tree|resolve|blob|commit)\/([^/]+)/u.exec(path);
  const [repo, revision] = page ? [page[1], decodeURIComponent(page[2])] : path.split('@');
  if (!NAME.test(repo) || repo.includes('..')) {
    throw new HubError(
      'bad-address',
      `“${typed.trim()}” is not the name of a model on the Hub. It looks like owner/name.`,
    );
  }
  return { repo, revision: revision || 'main' };
}

/** The key in storage: the same repository and revision is the same model. */
export const repositoryId = ({ repo, revision }: RepositoryName): string =>
  revision === 'main' ? repo : `${repo}@${revision}`;

/** Sends the token to the Hub, and to it only. */
export function hubNetwork({ hubUrl, token }: HubPlace, repo: string): Pick<NetworkOptions, 'authorize' | 'explain'> {
  const { origin } = new URL(hubUrl);
  return {
    authorize: (url): Record<string, string> =>
      token && new URL(url).origin === origin ? { Authorization: `Bearer ${token}` } : {},
    explain: (response) => explain(response, { hubUrl, token, repo }),
  };
}

/** The Hub's refusal with its own reason, and where to do something about it. */
function explain(response: Response, { hubUrl, token, repo }: HubPlace & { repo: string }): Error | undefined {
  const { status, headers } = response;
  if (response.url && new URL(response.url).origin !== new URL(hubUrl).origin) {
    // Large files come from signed addresses elsewhere that are good for a while; the next attempt gets a new one.
    return status === 401 || status === 403 ? new TransientError(`its host answered ${status}`) : undefined;
  }
  const code = headers.get('x-error-code');
  const reason = headers.get('x-error-message')?.replace(/\.?$/u, '.');
  const said = reason ? `The Hub says: ${reason}` : `The Hub answered ${status} for ${repo}.`;
  const page = `${hubUrl}/${repo}`;
  if (code === 'GatedRepo' || (status === 403 && code !== 'RepoNotFound')) {
    const next = token
      ? `Ask for access on ${page}; a fine-grained token also needs the right to read gated repositories.`
      : `Ask for access on ${page}, then sign in or paste an access token.`;
    return new HubError('hub-no-access', `${said} ${next}`, { url: page });
  }
  if (code === 'RevisionNotFound') {
    return new HubError('hub-not-found', `${said} ${repo} has no such revision: see its branches on ${page}.`, {
      url: page,
    });
  }
  if (code === 'EntryNotFound') {
    return new HubError('hub-not-found', `${said} A file of ${repo} is not there: see ${page}.`, { url: page });
  }
  if (status === 401 && token && code === null) {
    const url = `${hubUrl}/settings/tokens`;
    return new HubError(
      'hub-bad-token',
      `${said} The token is mistyped, expired or revoked. Sign in again, or paste a new one from ${url}. What has come so far is kept.`,
      { url },
    );
  }
  if (status === 401 || status === 404) {
    const next = token
      ? 'Check the name, or use a token that may read it.'
      : 'Check the name; a private one needs a token.';
    return new HubError('hub-not-found', `${said} There is no model ${repo}, or it is private. ${next}`);
  }
  return undefined;
}

/** What the repository holds at the revision, or at the commit that an earlier visit began with. */
export function hubModel(place: HubPlace, name: RepositoryName): RemoteModel {
  const { hubUrl } = place;
  const { repo, revision } = name;
  const own = hubNetwork(place, repo);
  return {
    id: repositoryId(name),
    network: own,
    address: (file, about) =>
      `${hubUrl}/${repo}/resolve/${(about as unknown as RepositoryAbout).commit}/${encodeURIComponent(file)}`,
    async list(before, options): Promise<Listing> {
      const network = { ...options, ...own };
      const asked = { hubUrl, fetch: hubFetch(network) };
      const begun = (before?.about as Partial<RepositoryAbout> | undefined)?.commit;
      const at = begun ?? revision;
      const info = await modelInfo({ ...asked, name: repo, revision: at, additionalFields: ['sha', 'cardData'] });
      const commit = info.sha;
      // A branch that is gone does not matter to what began with a commit.
      const latest = () => modelInfo({ ...asked, name: repo, revision, additionalFields: ['sha'] });
      const now = begun && (await latest().catch(() => null))?.sha;
      const { license } = (info.cardData ?? {}) as { license?: unknown };
      const about: RepositoryAbout = {
        source: { kind: 'hub', repo, revision },
        commit,
        license: typeof license === 'string' ? license : null,
        gated: info.gated !== false,
      };
      const entries = new Map<string, ListFileEntry>();
      for await (const entry of listFiles({ ...asked, repo, revision: commit })) {
        if (entry.type === 'file') entries.set(entry.path, entry);
      }
      const names = await choose([...entries.keys()], repo, (index) =>
        getJson(this.address(index, { ...about }), network),
      );
      const files = names.map((file) => listed(entries.get(file)!));
      return { about: { ...about }, files, ...(now && now !== commit ? { newer: now } : {}) };
    },
  };
}

function listed({ path, size, lfs, oid }: ListFileEntry): ListedFile {
  if (lfs) return { name: path, size: lfs.size, sha256: lfs.oid };
  return { name: path, size, sha256: null, ...(oid ? { gitOid: oid } : {}) };
}

/** What the Hub's library fetches with: our retries, our errors, and the token for the Hub only. */
const hubFetch =
  (network: NetworkOptions): typeof fetch =>
  (input, init = {}) =>
    ask(input instanceof Request ? input.url : String(input), init, network);
