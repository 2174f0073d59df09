/** Where models come from: what is offered, what a source holds, and its files, from storage or from disk. */

import { type ModelFiles, readJson, readText } from '../formats/bytes';
import { INDEX_FILE } from '../formats/checkpoint';
import { HubError } from '../hub/errors';
import { folderFiles, localModel, topFiles } from '../hub/folder';
import type { ModelAbout } from '../hub/manifest';
import {
  deleteModel,
  ensureModel,
  examineModel,
  listOffers,
  manifestModel,
  type Offer,
  openModel,
  roomFor,
} from '../hub/model';
import { choose, type RemoteModel } from '../hub/remote';
import { hubModel, type RepositoryAbout, repositoryName } from '../hub/repository';
import { folderUrl, urlModel } from '../hub/url-folder';
import { parseConfig } from '../model/config';
import { type ModelStore, storedBytes } from '../storage/store';
import { StateError } from './errors';
import { configFacts, examiner, shapeFacts } from './model-facts';
import type { ModelOffer, ModelPreview, ModelProgress, ModelRequest, ModelRequests, ModelSource } from './protocol';

export interface ModelPlaces {
  /** The folder of the built-in models, without a slash at the end. */
  modelsUrl: string;
  hubUrl: string;
}

interface DeskHost {
  store: ModelStore;
  places(): ModelPlaces;
  onProgress(progress: ModelProgress): void;
}

/** A model's files, ready to be read. */
export interface OpenedSource {
  id: string;
  title: string;
  format: string;
  files: ModelFiles;
  fromStorage: boolean;
}

type Handlers = {
  [K in Exclude<keyof ModelRequests, 'loadModel'>]: (
    args: ModelRequests[K]['args'],
  ) => Promise<ModelRequests[K]['result']>;
};

export class ModelDesk {
  readonly #host: DeskHost;
  #loading: AbortController | null = null;

  constructor(host: DeskHost) {
    this.#host = host;
  }

  readonly handlers: Handlers = {
    inspectModel: (request) => this.#inspect(request),
    pauseLoading: async () => {
      this.#loading?.abort(
        new HubError('paused', 'Loading is paused. What has come is kept; it goes on from there whenever you like.'),
      );
      return null;
    },
    deleteModel: async ({ id }) => {
      await deleteModel(this.#host.store, id);
      return this.offers();
    },
  };

  async offers(): Promise<ModelOffer[]> {
    const { modelsUrl } = this.#host.places();
    const offers = await listOffers(this.#host.store, modelsUrl);
    return offers.map(modelOffer);
  }

  /**
   * The files of a source; those of another host are brought into storage first. Then `use` has them, and its result is
   * the answer. `pauseLoading` ends both.
   */
  async open<T>(request: ModelRequest, use: (opened: OpenedSource) => Promise<T>): Promise<T> {
    if (this.#loading) throw new StateError('busy', 'A model is being loaded. Pause it before loading another.');
    this.#loading = new AbortController();
    const { signal } = this.#loading;
    try {
      const opened = await this.#files(request, signal);
      return await use({ ...opened, files: until(signal, opened.files) });
    } finally {
      this.#loading = null;
    }
  }

  async #files(request: ModelRequest, signal: AbortSignal): Promise<OpenedSource> {
    const { source } = request;
    const remote = this.#remote(request);
    if (!remote) {
      const { name, files, names } = await readFolder(source);
      const about = configFacts(await readText(files, 'config.json'));
      return { id: name, title: name, format: about.format, files: { ...files, names }, fromStorage: false };
    }
    const { store, onProgress } = this.#host;
    const { record, fromStorage } = await ensureModel(store, remote, {
      signal,
      onProgress: (progress) => onProgress({ id: remote.id, ...progress }),
      examine: examiner(source, remote),
    });
    const { title, format } = record.about as unknown as ModelAbout;
    return { id: remote.id, title, format, files: await openModel(store, remote), fromStorage };
  }

  /** The host of a source; null for what lies on the visitor's disk. */
  #remote({ source, token }: ModelRequest): RemoteModel | null {
    const { modelsUrl, hubUrl } = this.#host.places();
    switch (source.kind) {
      case 'builtin':
        return manifestModel(source.id, `${modelsUrl}/${source.id}`);
      case 'hub': {
        const typed = repositoryName(source.repo);
        const revision = typed.revision === 'main' ? source.revision || 'main' : typed.revision;
        return hubModel({ hubUrl, token }, { repo: typed.repo, revision });
      }
      case 'url':
        return urlModel(folderUrl(source.url));
      default:
        return null;
    }
  }

  async #inspect(request: ModelRequest): Promise<ModelPreview> {
    const remote = this.#remote(request);
    if (!remote) return this.#inspectFolder(request.source);
    const { store, places } = this.#host;
    let config = '';
    const examine = examiner(request.source, remote);
    const listing = await examineModel(store, remote, {
      attempts: 3,
      examine: async (found, text) => {
        config = await text('config.json');
        return examine(found, async (file) => (file === 'config.json' ? config : text(file)));
      },
    });
    const { about, files, newer = null } = listing;
    const record = await store.record(remote.id);
    const { freeBytes } = await roomFor(store, files, record);
    const { commit = null, license = null, gated = false, source } = about as Partial<RepositoryAbout>;
    return {
      ...shapeFacts(parseConfig(JSON.parse(config))),
      source: (source as ModelSource | undefined) ?? request.source,
      id: remote.id,
      title: String(about.title),
      format: String(about.format),
      quantizable: about.quantizable === true,
      files: files.map(({ name, size }) => ({ name, bytes: size })),
      totalBytes: files.reduce((sum, { size }) => sum + size, 0),
      storedBytes: await storedBytes(store, record),
      commit,
      newerCommit: newer,
      license,
      gated,
      checked: files.every(({ sha256, gitOid }) => sha256 !== null || gitOid !== undefined) ? 'source' : 'arrival',
      freeBytes,
      config,
      page: source?.kind === 'hub' ? `${places().hubUrl}/${source.repo}` : null,
    };
  }

  async #inspectFolder(source: ModelSource): Promise<ModelPreview> {
    const { name, files, names } = await readFolder(source);
    const config = await readText(files, 'config.json');
    const { format, quantizable } = configFacts(config);
    const sizes = await Promise.all(names.map(async (file) => ({ name: file, bytes: (await files.open(file)).size })));
    return {
      ...shapeFacts(parseConfig(JSON.parse(config))),
      source,
      id: name,
      title: name,
      format,
      quantizable,
      files: sizes,
      totalBytes: sizes.reduce((sum, { bytes }) => sum + bytes, 0),
      storedBytes: 0,
      commit: null,
      newerCommit: null,
      license: null,
      gated: false,
      checked: 'none',
      freeBytes: null,
      config,
      page: null,
    };
  }
}

/** A folder's files, and the names of those that are needed. */
async function readFolder(source: ModelSource): Promise<{ name: string; files: ModelFiles; names: string[] }> {
  if (source.kind !== 'folder' && source.kind !== 'files') throw new TypeError(`${source.kind} is no folder`);
  const name = source.kind === 'folder' ? source.handle.name : source.name;
  const listed = source.kind === 'folder' ? await folderFiles(source.handle) : topFiles(source.files);
  const files = localModel(name, listed);
  const names = await choose(files.names, `The folder ${name}`, () => readJson(files, INDEX_FILE));
  return { name, files, names };
}

function modelOffer({ record, ...offer }: Offer): ModelOffer {
  const { source = { kind: 'builtin', id: offer.id }, quantizable } = (record?.about ?? {}) as {
    source?: ModelSource;
    quantizable?: boolean;
  };
  const { id, title, about, format, parameters, downloadBytes, storedBytes: stored, fineOnCpu } = offer;
  return {
    id,
    source,
    title,
    about,
    format,
    parameters,
    downloadBytes,
    storedBytes: stored,
    fineOnCpu,
    quantizable: quantizable ?? !format.startsWith('NF4'),
  };
}

/** Files whose reads end once the signal fires. */
function until(signal: AbortSignal, files: ModelFiles): ModelFiles {
  return {
    names: files.names,
    async open(name) {
      const source = await files.open(name);
      return {
        size: source.size,
        read: (begin, end, into) => {
          signal.throwIfAborted();
          return source.read(begin, end, into);
        },
      };
    },
  };
}
