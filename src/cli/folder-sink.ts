/** Writes exported files into a folder on disk, each beside its place first and renamed when it is whole. */
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { OutputFile, OutputSink } from '../export/sink';

export class FolderSink implements OutputSink {
  readonly #folder: string;
  readonly #written: string[] = [];
  #partial: { path: string; handle: FileHandle } | null = null;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async open(name: string): Promise<OutputFile> {
    await mkdir(this.#folder, { recursive: true });
    const path = join(this.#folder, `${name}.partial`);
    const handle = await open(path, 'w');
    this.#partial = { path, handle };
    return {
      write: async (bytes) => {
        for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at)).bytesWritten;
      },
      close: async () => {
        await handle.close();
        this.#partial = null;
        await rename(path, join(this.#folder, name));
        this.#written.push(join(this.#folder, name));
      },
    };
  }

  async close(): Promise<void> {}

  async abort(): Promise<void> {
    if (this.#partial) {
      await this.#partial.handle.close().catch(() => undefined);
      await rm(this.#partial.path, { force: true });
    }
    await Promise.all(this.#written.map((path) => rm(path, { force: true })));
  }
}
