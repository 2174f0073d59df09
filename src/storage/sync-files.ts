/** Files of the origin's private file system, opened for synchronous access as only workers may, and kept open a while. */

/** FileSystemSyncAccessHandle, which TypeScript knows in workers only. */
export interface SyncAccess {
  read(into: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  flush(): void;
  close(): void;
}

interface OpensSync {
  createSyncAccessHandle?(options?: { mode: 'readwrite-unsafe' }): Promise<SyncAccess>;
}

interface Open {
  access: Promise<SyncAccess>;
  users: number;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Called when the last user has left; set once it is to be closed. */
  left: (() => void) | null;
}

const IDLE_MS = 300;
const RETRY_MS = 100;
const RETRIES = 30;

export class SyncFiles {
  readonly #open = new Map<string, Open>();

  static get supported(): boolean {
    const { FileSystemFileHandle: type } = globalThis as { FileSystemFileHandle?: { prototype: OpensSync } };
    return typeof type?.prototype.createSyncAccessHandle === 'function';
  }

  /**
   * Runs `work` on a file. `path` is the file's name for this object: all uses of a file share one opening. Rejects with
   * the browser's error, NotFoundError among them.
   */
  async use<T>(path: string, find: () => Promise<FileSystemFileHandle>, work: (access: SyncAccess) => T): Promise<T> {
    let open = this.#open.get(path);
    if (!open) {
      open = { access: connect(find), users: 0, timer: undefined, left: null };
      this.#open.set(path, open);
    }
    const mine = open;
    clearTimeout(mine.timer);
    mine.users++;
    try {
      return work(await mine.access);
    } catch (error) {
      mine.access.catch(() => this.#forget(path, mine));
      throw error;
    } finally {
      mine.users--;
      if (mine.users === 0) {
        if (mine.left) mine.left();
        else mine.timer = setTimeout(() => void this.#close(path, mine), IDLE_MS);
      }
    }
  }

  /** Closes the files whose path begins so, once they are not in use. */
  async close(prefix: string): Promise<void> {
    const under = [...this.#open].filter(([path]) => path.startsWith(prefix));
    await Promise.all(under.map(([path, open]) => this.#close(path, open)));
  }

  #forget(path: string, open: Open): void {
    if (this.#open.get(path) === open) this.#open.delete(path);
  }

  async #close(path: string, open: Open): Promise<void> {
    clearTimeout(open.timer);
    this.#forget(path, open);
    if (open.users > 0) await new Promise<void>((left) => (open.left = left));
    await open.access.then(
      (access) => access.close(),
      () => undefined,
    );
  }
}

/** Several tabs may have a file open where the browser can; where it cannot, they wait for one another. */
async function connect(find: () => Promise<FileSystemFileHandle>): Promise<SyncAccess> {
  const handle = (await find()) as OpensSync;
  for (let attempt = 1; ; attempt++) {
    try {
      return await handle.createSyncAccessHandle!({ mode: 'readwrite-unsafe' });
    } catch (error) {
      if ((error as Error).name !== 'NoModificationAllowedError' || attempt === RETRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** Throws the browser's error, QuotaExceededError among them. */
export function writeAll(access: SyncAccess, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length; ) {
    const written = access.write(bytes.subarray(done), { at: at + done });
    if (written === 0) throw new DOMException('nothing more could be written', 'QuotaExceededError');
    done += written;
  }
}

/** As many bytes as there are from `at` on, at most `into.length`. */
export function readAll(access: SyncAccess, into: Uint8Array, at: number): number {
  let done = 0;
  while (done < into.length) {
    const read = access.read(into.subarray(done), { at: at + done });
    if (read === 0) break;
    done += read;
  }
  return done;
}
