/** Bundled for Chromium by tests/storage/chromium.test.ts: the real storage, fetching and export, on `window.studio`. */
import { DirectorySink } from '../../src/export/directory-sink';
import { exportMerged } from '../../src/export/export';
import { cpuMerger, type Merger } from '../../src/export/merge';
import { ZipSink } from '../../src/export/zip-sink';
import { Checkpoint } from '../../src/formats/checkpoint';
import { deleteModel, ensureModel, manifestModel, openModel } from '../../src/hub/model';
import { IndexedDbModelStore } from '../../src/storage/indexed-db';
import { withModelLock } from '../../src/storage/locks';
import { sha256Hex } from '../../src/storage/sha256';

const store = new IndexedDbModelStore();
const source = (id: string) => manifestModel(id, new URL(`models/${id}`, location.href).href);
const nothing = cpuMerger(new Map(), 1);

async function openCheckpoint(id: string) {
  await ensureModel(store, source(id));
  return Checkpoint.open(await openModel(store, source(id)));
}

const studio = {
  /** Fetches or finds a model; returns whether it came from storage, and the SHA-256 of one file as read back. */
  async load(id: string, file: string) {
    const { fromStorage } = await ensureModel(store, source(id));
    const bytes = await (await openModel(store, source(id))).open(file);
    return { fromStorage, sha256: await sha256Hex(await bytes.read(0, bytes.size)) };
  },
  /** Fetches or finds a model, and reads all of its tensors as a load to the GPU does; returns their bytes. */
  async readThrough(id: string, piece: number) {
    const checkpoint = await openCheckpoint(id);
    let total = 0;
    for (const name of checkpoint.names()) {
      const { byteLength } = checkpoint.tensor(name);
      for await (const { bytes } of checkpoint.pieces(name, 0, byteLength, piece)) total += bytes.length;
    }
    return total;
  },
  remove: (id: string) => deleteModel(store, id),
  /** Holds the model's lock until `release` is called. */
  hold(id: string) {
    return new Promise<void>((held) => {
      void withModelLock(id, () => {
        held();
        return new Promise<void>((release) => {
          studio.release = release;
        });
      });
    });
  },
  release: () => {},
  usage: () => store.usage(),
  /** Exports into a folder of the origin's private file system; returns what lies there afterwards. */
  async exportToFolder(id: string, fail: boolean) {
    const checkpoint = await openCheckpoint(id);
    const root = await navigator.storage.getDirectory();
    const { sink, folder } = await DirectorySink.inNewFolder(root, 'export');
    const lost: Merger = {
      ...nothing,
      merge: (name, rows, dtype) =>
        name?.includes('layers.3') ? Promise.reject(new Error('lost')) : nothing.merge(name, rows, dtype),
    };
    const merger = fail ? lost : nothing;
    const error = await exportMerged({ checkpoint, merger, dtype: 'F32', card: '#', sink }).then(
      () => null,
      (e: Error) => e.message,
    );
    const files: Record<string, string> = {};
    const folders: string[] = [];
    for await (const name of root.keys()) folders.push(name);
    if (folders.includes(folder)) {
      for await (const handle of (await root.getDirectoryHandle(folder)).values()) {
        const file = await (handle as FileSystemFileHandle).getFile();
        files[file.name] = await sha256Hex(new Uint8Array(await file.arrayBuffer()));
      }
    }
    return { error, folders, files };
  },
  /** Exports into a zip stream; returns its length. */
  async exportToZip(id: string) {
    const sink = new ZipSink(id);
    const done = exportMerged({
      checkpoint: await openCheckpoint(id),
      merger: nothing,
      dtype: 'BF16',
      card: '#',
      sink,
    });
    const zip = await new Response(sink.stream).blob();
    await done;
    return zip.size;
  },
};

export type Studio = typeof studio;
Object.assign(window, { studio });
