/** A model in a folder of the visitor's own disk, read in place: nothing of it is copied. */
import type { ByteSource, ModelFiles } from '../formats/bytes';
import { HubError } from './errors';
import { pieceReader } from './pieces';

/** The files of a folder that the visitor picked or dropped, as far as the browser lets the page. */
export async function folderFiles(handle: FileSystemDirectoryHandle): Promise<File[]> {
  const files: File[] = [];
  try {
    for await (const entry of handle.values()) {
      if (entry.kind === 'file') files.push(await entry.getFile());
    }
  } catch (cause) {
    throw folderError(cause, handle.name);
  }
  return files;
}

/** Files that were chosen together (a directory input, or a drop), as those of one model: the ones in its top folder. */
export function topFiles(files: readonly File[]): File[] {
  return files.filter(({ webkitRelativePath: path }) => !path || path.split('/').length <= 2);
}

/**
 * Model files over files on disk. A read after the folder was taken away, or after a file has changed, rejects with
 * {@link HubError} `folder-denied`, `folder-gone` or `file-changed`.
 */
export function localModel(folder: string, files: readonly File[]): ModelFiles {
  const byName = new Map(files.map((file) => [file.name, file]));
  return {
    names: [...byName.keys()],
    async open(name): Promise<ByteSource> {
      const file = byName.get(name);
      if (!file) throw new HubError('folder-gone', `The folder ${folder} has no file ${name}. Choose a whole model.`);
      return {
        size: file.size,
        async read(begin, end, into) {
          if (begin < 0 || begin > end || end > file.size) {
            throw new RangeError(`bytes ${begin} to ${end} lie outside a file of ${file.size}`);
          }
          try {
            const part = file.slice(begin, end);
            return (into && (await readInto(part, into))) ?? new Uint8Array(await part.arrayBuffer());
          } catch (cause) {
            throw folderError(cause, folder, name);
          }
        },
      };
    },
  };
}

/** The bytes of a part of a file, in memory that is there already; null where they cannot be had so. */
async function readInto(part: Blob, into: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer> | null> {
  if (into.length < part.size) return null;
  try {
    const read = pieceReader(part.stream());
    let at = 0;
    for (let piece = await read(); piece; piece = await read()) {
      into.set(piece, at);
      at += piece.length;
    }
    return at === part.size ? into.subarray(0, at) : null;
  } catch {
    return null; // read in the other way, it tells why it cannot be
  }
}

/** What the browser's refusal to read means, and what to do. */
function folderError(cause: unknown, folder: string, file?: string): Error {
  const { name, message } = cause as DOMException;
  switch (name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return new HubError(
        'folder-denied',
        `The browser no longer lets the page read the folder ${folder}. Choose the folder again, and allow it when asked.`,
        { cause, file },
      );
    case 'NotFoundError':
      return new HubError(
        'folder-gone',
        `${file ? `${file} in the folder ${folder}` : `The folder ${folder}`} is not there any more. ` +
          'Put it back or connect its disk, then choose the folder again.',
        { cause, file },
      );
    case 'NotReadableError':
      return new HubError(
        'file-changed',
        `${file ? `${file} in the folder ${folder}` : `The folder ${folder}`} has changed since it was opened, or cannot be read. ` +
          'Choose the folder again to load it as it is now.',
        { cause, file },
      );
    default:
      return new HubError('folder-gone', `The folder ${folder} cannot be read (${message}). Choose it again.`, {
        cause,
        file,
      });
  }
}
