/** The hash of a file that its host states: SHA-256, or git's name of a blob. */
import { sha1 } from '@noble/hashes/legacy.js';
import { Sha256 } from '../storage/sha256';
import type { StoredFile } from '../storage/store';

/** Takes the bytes of a file in order. */
export interface FileDigest {
  update(bytes: Uint8Array): void;
  /** What is wrong with the bytes taken, or null when they are the stated ones. */
  problem(): string | null;
}

/** Git hashes "blob <length>\0" before the bytes. */
function gitBlob(size: number) {
  const state = sha1.create().update(new TextEncoder().encode(`blob ${size}\0`));
  return {
    update: (bytes: Uint8Array) => void state.update(bytes),
    digest: () => Array.from(state.digest(), (byte) => byte.toString(16).padStart(2, '0')).join(''),
  };
}

/** Null for a file whose host states no hash. */
export function statedDigest({ size, sha256, gitOid }: StoredFile): FileDigest | null {
  const [name, stated] = sha256 !== null ? ['SHA-256', sha256] : ['git hash', gitOid];
  if (stated === undefined) return null;
  const state = sha256 !== null ? new Sha256() : gitBlob(size);
  return {
    update: (bytes) => state.update(bytes),
    problem() {
      const found = state.digest();
      return found === stated ? null : `its ${name} is ${found}, not ${stated}`;
    },
  };
}
