import { sha256 } from '@noble/hashes/sha2.js';

const hex = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');

/** SHA-256 of bytes in memory, hex. Native where the page is a secure context. */
export async function sha256Hex(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const subtle = globalThis.crypto?.subtle;
  return hex(subtle ? new Uint8Array(await subtle.digest('SHA-256', bytes)) : sha256(bytes));
}

/** SHA-256 of bytes that come piece by piece, which the native one cannot do. */
export class Sha256 {
  readonly #state = sha256.create();
  update(bytes: Uint8Array): void {
    this.#state.update(bytes);
  }
  /** Hex; the object is used up. */
  digest(): string {
    return hex(this.#state.digest());
  }
}
