import { open, readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { ByteSource, ModelFiles } from '../../src/formats/bytes';

/** Absolute path of something in the repository. */
export const repositoryPath = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

export const fixture = (path: string): Promise<Uint8Array> => readFile(repositoryPath(path));

/** A folder on disk as a model's files; nothing is read before it is asked for. */
export async function folderFiles(folder: string): Promise<ModelFiles> {
  const names = await readdir(folder);
  return {
    names,
    async open(name): Promise<ByteSource> {
      const handle = await open(`${folder}/${name}`);
      const { size } = await handle.stat();
      await handle.close();
      return {
        size,
        async read(begin, end) {
          const file = await open(`${folder}/${name}`);
          try {
            const bytes = new Uint8Array(end - begin);
            const { bytesRead } = await file.read(bytes, 0, bytes.length, begin);
            if (bytesRead !== bytes.length) throw new Error(`${name}: read past the end`);
            return bytes;
          } finally {
            await file.close();
          }
        },
      };
    },
  };
}
