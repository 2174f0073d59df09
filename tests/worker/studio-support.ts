/** The whole engine under Node, with its requests as the page sends them: a studio over stores that outlive it. */
import { readFile } from 'node:fs/promises';
import { IDBFactory } from 'fake-indexeddb';
import 'fake-indexeddb/auto';
import { dawn } from '../../src/cli/dawn';
import { BackendStores } from '../../src/storage/backends';
import { IndexedDbModelStore } from '../../src/storage/indexed-db';
import { StorageNotes } from '../../src/storage/notes';
import type { ModelStore } from '../../src/storage/store';
import { DEFAULT_HPARAMS, type HParams } from '../../src/train/hparams';
import type { Settings, WorkerEvent } from '../../src/worker/protocol';
import { Studio } from '../../src/worker/studio';
import { repositoryPath } from '../support/files';
import { type ModelServer, serveModel } from '../support/model-server';
import { ALL, WHOLE } from './support';

const MODEL = 'stories-260k';

/** What stays when a page is closed: the browser's storage, and the server. */
export interface Place {
  server: ModelServer;
  models: IndexedDbModelStore;
  runs: IndexedDbModelStore;
  close(): Promise<void>;
}

export async function openPlace(): Promise<Place> {
  globalThis.indexedDB = new IDBFactory();
  const folder = repositoryPath(`public/models/${MODEL}`);
  const { files } = JSON.parse(await readFile(`${folder}/manifest.json`, 'utf8')) as { files: { name: string }[] };
  const contents = await Promise.all(
    files.map(async ({ name }) => [name, new Uint8Array(await readFile(`${folder}/${name}`))] as const),
  );
  const server = await serveModel(Object.fromEntries(contents), MODEL);
  const [models, runs] = [new IndexedDbModelStore(), new IndexedDbModelStore('runs')];
  const close = async () => {
    await Promise.all([models.close(), runs.close(), server.close()]);
  };
  return { server, models, runs, close };
}

/** A store as a worker sees it until it is killed: after `cut()` nothing it writes arrives. */
export function cuttable(store: ModelStore): { store: ModelStore; cut(): void } {
  let gone = false;
  const proxy = new Proxy(store, {
    get: (target, key) => {
      const value = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => (gone ? Promise.reject(new Error('killed')) : value.apply(target, args));
    },
  });
  return {
    store: proxy,
    cut: () => {
      gone = true;
    },
  };
}

export interface OpenStudio {
  studio: Studio;
  events: WorkerEvent[];
  /** The device it uses now. */
  device(): GPUDevice;
  /** Takes its storage away, as when its thread ends. */
  kill(): void;
}

export interface StudioOptions {
  /** Hears every event as it comes. */
  listen?: (event: WorkerEvent) => void;
  /** A device to use in place of a new one: what it has compiled need not be compiled again. */
  device?: GPUDevice;
}

export async function openStudio(place: Place, options: StudioOptions = {}): Promise<OpenStudio> {
  const gpu = await dawn({ software: true });
  let device: GPUDevice;
  const watched = {
    requestAdapter: async (wanted?: GPURequestAdapterOptions) => {
      const adapter = (await gpu.requestAdapter(wanted))!;
      return {
        limits: adapter.limits,
        features: adapter.features,
        info: adapter.info,
        requestDevice: async (descriptor?: GPUDeviceDescriptor) => {
          device = options.device ?? (await adapter.requestDevice(descriptor));
          return device;
        },
      };
    },
  } as unknown as GPU;
  const events: WorkerEvent[] = [];
  const { store: runStore, cut } = cuttable(place.runs);
  const studio = new Studio({
    gpu: watched,
    notes: new StorageNotes(),
    version: 'test',
    store: new BackendStores({ indexeddb: { store: place.models, unavailable: async () => null } }),
    runStore,
    emit: (event) => {
      events.push(event);
      options.listen?.(event);
    },
  });
  await studio.handlers.init({ baseUrl: place.server.baseUrl.replace(/models\/.*$/u, '') });
  return { studio, events, device: () => device, kill: cut };
}

export const loadModel = ({ studio }: OpenStudio) =>
  studio.handlers.loadModel({ source: { kind: 'builtin', id: MODEL } });

export const loadRows = ({ studio }: OpenStudio, rows: string) =>
  studio.handlers.loadData({ role: 'train', source: { text: rows }, amount: ALL, split: WHOLE });

export const runSettings = (hparams: Partial<HParams>, more: Partial<Settings> = {}): Settings => ({
  hparams: { ...DEFAULT_HPARAMS, truncation: 'sane', ...hparams },
  evalFraction: 0,
  ...more,
});
