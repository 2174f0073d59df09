/** The running hash of a file whose chunks come in any order. */
import type { FileDigest } from './digest';

/**
 * A hash needs the bytes in order. Chunks that come in turn are hashed as they come; those that came ahead are read back
 * from storage once the front has reached them.
 */
export class HashFront {
  readonly #digest: FileDigest;
  readonly #chunks: number;
  readonly #stored: ReadonlySet<number>;
  readonly #read: (index: number) => Promise<Uint8Array | null>;
  readonly #hashed: (bytes: number) => void;
  #next = 0;
  #bytes = 0;
  /** A stored chunk turned out to be lost or changed. */
  #stuck = false;
  #reading: Promise<void> | null = null;

  /**
   * @param stored chunks that are in storage, kept up to date by the caller
   * @param read a stored chunk, or null when it is lost or changed
   */
  constructor(options: {
    digest: FileDigest;
    chunks: number;
    stored: ReadonlySet<number>;
    read: (index: number) => Promise<Uint8Array | null>;
    hashed: (bytes: number) => void;
  }) {
    this.#digest = options.digest;
    this.#chunks = options.chunks;
    this.#stored = options.stored;
    this.#read = options.read;
    this.#hashed = options.hashed;
  }

  /** A chunk has come and is stored; its bytes are not kept. */
  offer(bytes: Uint8Array, index: number): void {
    if (index === this.#next && !this.#reading) {
      this.#take(bytes);
      this.#stuck = false;
    }
    this.advance();
  }

  /** Reads back what is stored, as far as it goes, beside what else goes on. */
  advance(): void {
    if (this.#reading || this.#stuck || !this.#stored.has(this.#next)) return;
    this.#reading = this.#readBack().finally(() => {
      this.#reading = null;
    });
    this.#reading.catch(() => undefined); // who settles hears of it
  }

  /** Waits until it goes no further: the chunk that is wanted next, or null when all were hashed. */
  async settle(): Promise<number | null> {
    this.advance();
    await this.#reading;
    return this.#next < this.#chunks ? this.#next : null;
  }

  async #readBack(): Promise<void> {
    while (this.#stored.has(this.#next)) {
      const bytes = await this.#read(this.#next);
      if (!bytes) {
        this.#stuck = true;
        return;
      }
      this.#take(bytes);
    }
  }

  #take(bytes: Uint8Array): void {
    this.#digest.update(bytes);
    this.#next++;
    this.#bytes += bytes.length;
    this.#hashed(this.#bytes);
  }
}
