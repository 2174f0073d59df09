/** A folder on disk as a model's files. */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { asChatmlModel } from '../data/chatml-model';
import { type ByteSource, type ModelFiles, room } from '../formats/bytes';

async function fileSource(path: string): Promise<ByteSource> {
  const { size } = await stat(path);
  return {
    size,
    async read(begin, end, into) {
      if (begin < 0 || end > size || begin > end) throw new RangeError(`${path}: no bytes ${begin} to ${end}`);
      const bytes = room(end - begin, into);
      const handle = await open(path);
      try {
        let done = 0;
        while (done < bytes.length) {
          const { bytesRead } = await handle.read(bytes, done, bytes.length - done, begin + done);
          if (bytesRead === 0) throw new RangeError(`${path} ended early`);
          done += bytesRead;
        }
      } finally {
        await handle.close();
      }
      return bytes;
    },
  };
}

/** Rejects when the folder does not exist. */
export async function folderFiles(folder: string): Promise<ModelFiles> {
  const names = (await readdir(folder, { withFileTypes: true })).filter((e) => e.isFile()).map((e) => e.name);
  return {
    names,
    open(name) {
      if (!names.includes(name)) return Promise.reject(new Error(`${folder} has no file ${name}`));
      return fileSource(join(folder, name));
    },
  };
}

export const CHATML_OPTION = '[--chatml reserved|add]';

/** A model's folder, opened as one that knows ChatML when `chatml` says how. Throws RangeError for another word. */
export async function modelFolder(folder: string, chatml?: string): Promise<ModelFiles> {
  const files = await folderFiles(folder);
  if (chatml === undefined) return files;
  if (chatml !== 'reserved' && chatml !== 'add') throw new RangeError('--chatml is reserved or add');
  return asChatmlModel(files, chatml);
}
