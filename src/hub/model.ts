import type { ModelFiles } from '../formats/bytes';
import { withModelLock } from '../storage/locks';
import { openStoredModel } from '../storage/model-files';
import { sha256Hex } from '../storage/sha256';
import { isComplete, type ModelRecord, type ModelStore, type StoredFile, storedBytes } from '../storage/store';
import { HubError } from './errors';
import { fetchChunks, fetchFile } from './file';
import { checkIndex, checkManifest, type IndexEntry, type ModelAbout, type ModelManifest } from './manifest';
import { type FetchProgress, ProgressMeter } from './progress';
import { getJson, type NetworkOptions } from './request';

export interface FetchModelOptions extends NetworkOptions {
  onProgress?: (progress: FetchProgress) => void;
}

/** A model on a host: its files, and manifest.json, lie under `baseUrl`. */
export interface ModelSource {
  id: string;
  /** Absolute, e.g. `https://host/path/models/stories-260k`. */
  baseUrl: string;
}

const urlOf = (source: ModelSource, file: string): string => `${source.baseUrl}/${encodeURIComponent(file)}`;

/**
 * Has a model wholly in storage: at once and without network when it is there, else by fetching what is missing. Rejects
 * with {@link HubError}, {@link import('../storage/store').StorageError} or the signal's reason; what has come is kept, and
 * the next call goes on from there.
 */
export async function ensureModel(
  store: ModelStore,
  source: ModelSource,
  options: FetchModelOptions = {},
): Promise<{ record: ModelRecord; fromStorage: boolean }> {
  const stored = await store.record(source.id);
  if (isComplete(stored)) return { record: stored, fromStorage: true };
  // Another tab may be fetching it: wait, and look again.
  return withModelLock(source.id, () => fetchModel(store, source, options), { signal: options.signal });
}

async function fetchModel(store: ModelStore, source: ModelSource, options: FetchModelOptions) {
  const before = await store.record(source.id);
  if (isComplete(before)) return { record: before, fromStorage: true };
  const url = `${source.baseUrl}/manifest.json`;
  const manifest = checkManifest(await getJson(url, options), url);
  if (manifest.id !== source.id) {
    throw new HubError('bad-manifest', `${url} is the list of another model (${manifest.id}). Check the address.`);
  }
  const record = await takeOver(store, before, manifest);
  const totalBytes = record.files.reduce((sum, file) => sum + file.size, 0);
  await checkRoom(store, record, totalBytes);
  const meter = new ProgressMeter(totalBytes, options.onProgress);
  for (const file of record.files) {
    if (file.complete) {
      meter.start(file.name);
      meter.found(file.size);
      continue;
    }
    await fetchFile({ store, modelId: record.id, file, url: urlOf(source, file.name), meter, network: options });
    file.complete = true;
    await store.putRecord(record);
  }
  meter.finish();
  return { record, fromStorage: false };
}

/** The record to fill: files that are still the same keep what is stored of them, others start afresh. */
async function takeOver(
  store: ModelStore,
  before: ModelRecord | undefined,
  manifest: ModelManifest,
): Promise<ModelRecord> {
  const { files, ...about } = manifest;
  const kept = new Map(before?.files.map((file) => [file.name, file]));
  const record: ModelRecord = {
    id: manifest.id,
    about,
    files: files.map(({ name, size, sha256 }): StoredFile => {
      const old = kept.get(name);
      const same = old?.size === size && old.sha256 === sha256;
      if (same) kept.delete(name);
      return { name, size, sha256, complete: same && old.complete };
    }),
  };
  for (const name of kept.keys()) await store.deleteFile(record.id, name);
  await store.putRecord(record);
  return record;
}

async function checkRoom(store: ModelStore, record: ModelRecord, totalBytes: number): Promise<void> {
  const { usage, quota } = await store.usage();
  if (usage === null || quota === null) return;
  const needed = totalBytes - (await storedBytes(store, record));
  if (needed <= quota - usage) return;
  const mb = (bytes: number) => `${Math.ceil(bytes / 1e6).toLocaleString('en')} MB`;
  throw new HubError(
    'no-room',
    `The model needs ${mb(needed)} more and the browser grants ${mb(Math.max(0, quota - usage))}. ` +
      'Delete a stored model or free disk space, then try again.',
  );
}

/**
 * The files of a model in storage. A chunk found lost or changed when read is fetched again from the source, alone, and
 * used only if it then is what was stored before.
 */
export function openModel(store: ModelStore, source: ModelSource, network: NetworkOptions = {}): Promise<ModelFiles> {
  return openStoredModel(store, source.id, async (name, index) => {
    const record = await store.record(source.id);
    const file = record?.files.find((f) => f.name === name);
    if (!record || !file) return;
    const before = (await store.chunks(source.id, name)).find((chunk) => chunk.index === index);
    let same = false;
    if (before) {
      const job = { file, url: urlOf(source, name), meter: new ProgressMeter(file.size), network };
      await fetchChunks(job, index, index + 1, async (bytes) => {
        same = (await sha256Hex(bytes.slice())) === before.sha256;
        if (same) await store.writeChunk(source.id, name, index, bytes);
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
}

/**
 * The models a host offers (index.json under `baseUrl`) and how much of each is stored. When the host cannot be reached,
 * those that are wholly in storage. Rejects only when there are none either.
 */
export async function listOffers(store: ModelStore, baseUrl: string, network: NetworkOptions = {}): Promise<Offer[]> {
  const url = `${baseUrl}/index.json`;
  const records = await store.list();
  let entries: IndexEntry[];
  try {
    entries = checkIndex(await getJson(url, { attempts: 2, ...network }), url);
  } catch (error) {
    network.signal?.throwIfAborted();
    entries = records.filter(isComplete).map(({ about, files }) => ({
      ...(about as unknown as ModelAbout),
      downloadBytes: files.reduce((sum, file) => sum + file.size, 0),
    }));
    if (entries.length === 0) throw error;
  }
  return Promise.all(
    entries.map(async (entry) => ({
      ...entry,
      storedBytes: await storedBytes(
        store,
        records.find((record) => record.id === entry.id),
      ),
    })),
  );
}

/** Deletes a model from storage. Rejects with `model-busy` while another tab fetches it. */
export const deleteModel = (store: ModelStore, id: string): Promise<void> =>
  withModelLock(id, () => store.deleteModel(id), { orFail: true });
