import type { ModelFiles } from '../formats/bytes';
import { withModelLock } from '../storage/locks';
import { openStoredModel } from '../storage/model-files';
import { sha256Hex } from '../storage/sha256';
import { isComplete, type ModelRecord, type ModelStore, type StoredFile, storedBytes } from '../storage/store';
import { HubError } from './errors';
import { fetchFile } from './file';
import { checkIndex, checkManifest, type IndexEntry, type ModelAbout } from './manifest';
import { type FetchProgress, ProgressMeter } from './progress';
import type { Listing, RemoteModel } from './remote';
import { getJson, getText, type NetworkOptions } from './request';
import { fetchChunks } from './transfer';

export interface FetchModelOptions extends NetworkOptions {
  onProgress?: (progress: FetchProgress) => void;
  /**
   * Sees what is listed before any of it is stored; refuses by throwing, and adds what else to remember of the model.
   * `text` fetches a small file of it.
   */
  examine?: (listing: Listing, text: (file: string) => Promise<string>) => Promise<Listing>;
}

/** A model that its host describes by a manifest.json beside its files. */
export function manifestModel(id: string, baseUrl: string): RemoteModel {
  return {
    id,
    network: {},
    address: (file) => `${baseUrl}/${encodeURIComponent(file)}`,
    async list(_before, options) {
      const url = `${baseUrl}/manifest.json`;
      const { files, ...about } = checkManifest(await getJson(url, options), url);
      if (about.id !== id) {
        throw new HubError('bad-manifest', `${url} is the list of another model (${about.id}). Check the address.`);
      }
      return { about: { ...about }, files };
    },
  };
}

/** What a host offers of a model, examined; nothing is stored. */
export async function examineModel(
  store: ModelStore,
  model: RemoteModel,
  { examine, ...options }: FetchModelOptions = {},
): Promise<Listing> {
  const network = { ...options, ...model.network };
  const listing = await model.list(await store.record(model.id), network);
  const text = (file: string) => getText(model.address(file, listing.about), network);
  return examine ? examine(listing, text) : listing;
}

/**
 * Has a model wholly in storage: at once and without network when it is there, else by fetching what is missing. Rejects
 * with {@link HubError}, {@link import('../storage/store').StorageError} or the signal's reason; what has come is kept, and
 * the next call goes on from there.
 */
export async function ensureModel(
  store: ModelStore,
  model: RemoteModel,
  options: FetchModelOptions = {},
): Promise<{ record: ModelRecord; fromStorage: boolean }> {
  const stored = await store.record(model.id);
  if (isComplete(stored)) return { record: stored, fromStorage: true };
  // Another tab may be fetching it: wait, and look again.
  return withModelLock(model.id, () => fetchModel(store, model, options), { signal: options.signal });
}

async function fetchModel(store: ModelStore, model: RemoteModel, options: FetchModelOptions) {
  const before = await store.record(model.id);
  if (isComplete(before)) return { record: before, fromStorage: true };
  const record = await takeOver(store, model.id, before, await examineModel(store, model, options));
  await checkRoom(store, record);
  const meter = new ProgressMeter(record.files, options.onProgress);
  const network = { ...options, ...model.network };
  try {
    for (const file of record.files) {
      if (file.complete) {
        meter.start(file);
        meter.found(file.size);
        continue;
      }
      const url = model.address(file.name, record.about);
      await fetchFile({ store, modelId: record.id, file, url, meter, network });
      file.complete = true;
      await store.putRecord(record);
    }
    meter.finish();
  } finally {
    meter.stop();
  }
  return { record, fromStorage: false };
}

/** The record to fill: files that are still the same keep what is stored of them, others start afresh. */
async function takeOver(
  store: ModelStore,
  id: string,
  before: ModelRecord | undefined,
  { about, files }: Listing,
): Promise<ModelRecord> {
  const kept = new Map(before?.files.map((file) => [file.name, file]));
  const record: ModelRecord = {
    id,
    about,
    files: files.map((file): StoredFile => {
      const old = kept.get(file.name);
      const same =
        old?.size === file.size &&
        old.sha256 === file.sha256 &&
        old.gitOid === file.gitOid &&
        old.version === file.version;
      if (same) kept.delete(file.name);
      return { ...file, complete: same && old.complete };
    }),
  };
  for (const name of kept.keys()) await store.deleteFile(record.id, name);
  await store.putRecord(record);
  return record;
}

/** Bytes of a model that are still to come, and those that the browser grants; null where it does not say. */
export async function roomFor(
  store: ModelStore,
  files: readonly { size: number }[],
  record: ModelRecord | undefined,
): Promise<{ neededBytes: number; freeBytes: number | null }> {
  const { usage, quota } = await store.usage();
  const totalBytes = files.reduce((sum, { size }) => sum + size, 0);
  const neededBytes = Math.max(0, totalBytes - (await storedBytes(store, record)));
  return { neededBytes, freeBytes: usage === null || quota === null ? null : Math.max(0, quota - usage) };
}

async function checkRoom(store: ModelStore, record: ModelRecord): Promise<void> {
  const { neededBytes, freeBytes } = await roomFor(store, record.files, record);
  if (freeBytes === null || neededBytes <= freeBytes) return;
  const mb = (bytes: number) => `${Math.ceil(bytes / 1e6).toLocaleString('en')} MB`;
  throw new HubError(
    'no-room',
    `The model needs ${mb(neededBytes)} more and the browser grants ${mb(freeBytes)}. ` +
      'Delete a stored model or free disk space, then try again.',
  );
}

/**
 * The files of a model in storage. A chunk found lost or changed when read is fetched again from the source, alone, and
 * used only if it then is what was stored before.
 */
export function openModel(store: ModelStore, model: RemoteModel, network: NetworkOptions = {}): Promise<ModelFiles> {
  return openStoredModel(store, model.id, async (name, index) => {
    const record = await store.record(model.id);
    const file = record?.files.find((f) => f.name === name);
    if (!record || !file) return;
    const before = (await store.chunks(model.id, name)).find((chunk) => chunk.index === index);
    let same = false;
    if (before) {
      const transfer = {
        file,
        url: model.address(name, record.about),
        meter: new ProgressMeter([file]),
        network: { ...network, ...model.network },
        host: { ranges: 'unknown' as const },
      };
      await fetchChunks(transfer, index, index + 1, async (bytes) => {
        same = (await sha256Hex(bytes.slice())) === before.sha256;
        if (same) await store.writeChunk(model.id, name, index, bytes);
      });
    }
    if (same) return;
    file.complete = false; // the next load checks and fetches the file as a whole
    await store.putRecord(record);
  });
}

export interface Offer extends ModelAbout {
  downloadBytes: number;
  storedBytes: number;
  /** What is remembered of a model that is stored; undefined of one that is only offered. */
  record: ModelRecord | undefined;
}

/**
 * The models a host offers (index.json under `baseUrl`) and how much of each is stored; after them those from elsewhere
 * that are stored, wholly or in part. When the host cannot be reached, only what is wholly in storage. Rejects only when
 * there is none either.
 */
export async function listOffers(store: ModelStore, baseUrl: string, network: NetworkOptions = {}): Promise<Offer[]> {
  const url = `${baseUrl}/index.json`;
  const records = await store.list();
  const stored = (record: ModelRecord): IndexEntry => ({
    ...(record.about as unknown as ModelAbout),
    id: record.id,
    downloadBytes: record.files.reduce((sum, file) => sum + file.size, 0),
  });
  let entries: IndexEntry[];
  try {
    entries = checkIndex(await getJson(url, { attempts: 2, ...network }), url);
    const offered = new Set(entries.map(({ id }) => id));
    entries.push(...records.filter(({ id, about }) => !offered.has(id) && about.source).map(stored));
  } catch (error) {
    network.signal?.throwIfAborted();
    entries = records.filter(isComplete).map(stored);
    if (entries.length === 0) throw error;
  }
  return Promise.all(
    entries.map(async (entry) => {
      const record = records.find(({ id }) => id === entry.id);
      return { ...entry, record, storedBytes: await storedBytes(store, record) };
    }),
  );
}

/** Deletes a model from storage. Rejects with `model-busy` while another tab fetches it. */
export const deleteModel = (store: ModelStore, id: string): Promise<void> =>
  withModelLock(id, () => store.deleteModel(id), { orFail: true });
