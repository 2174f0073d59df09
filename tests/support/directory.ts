/**
 * A FileSystemDirectoryHandle in memory, with the behaviour that matters to exports: asking for a handle creates an empty
 * file, and what is written appears only when the writable is closed. (The page tests use the real one.)
 */
export class FakeDirectory {
  readonly files = new Map<string, Uint8Array>();
  readonly folders = new Map<string, FakeDirectory>();
  /** Writing to this file fails, as on a full disk. */
  failing: string | null = null;
  /** From this file on the page may no longer write: the visitor took the permission back. */
  revokedAt: string | null = null;

  get handle(): FileSystemDirectoryHandle {
    return this as unknown as FileSystemDirectoryHandle;
  }

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<FakeDirectory> {
    const folder = this.folders.get(name) ?? (create ? new FakeDirectory() : undefined);
    if (!folder) throw new DOMException(name, 'NotFoundError');
    folder.failing = this.failing;
    folder.revokedAt = this.revokedAt;
    this.folders.set(name, folder);
    return folder;
  }

  async getFileHandle(name: string, { create = false } = {}) {
    if (this.folders.has(name)) throw new DOMException(name, 'TypeMismatchError');
    if (name === this.revokedAt && create) {
      throw new DOMException('The request is not allowed by the user agent', 'NotAllowedError');
    }
    if (!this.files.has(name) && !create) throw new DOMException(name, 'NotFoundError');
    if (!this.files.has(name)) this.files.set(name, new Uint8Array());
    return {
      createWritable: async () => {
        let parts: Uint8Array[] | null = [];
        return {
          write: async (bytes: Uint8Array) => {
            if (name === this.failing) throw new DOMException('no room', 'QuotaExceededError');
            parts!.push(bytes.slice());
          },
          close: async () => {
            this.files.set(name, Buffer.concat(parts!));
          },
          abort: async () => {
            parts = null;
          },
        };
      },
    };
  }

  async removeEntry(name: string): Promise<void> {
    if (this.folders.get(name)?.files.size) throw new DOMException(name, 'InvalidModificationError');
    if (!this.files.delete(name) && !this.folders.delete(name)) throw new DOMException(name, 'NotFoundError');
  }
}
