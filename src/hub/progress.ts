export interface FetchProgress {
  phase: 'downloading' | 'verifying';
  file: string;
  /** Bytes of this file that are in storage or have just come; while verifying, those that are checked. */
  fileBytes: number;
  fileTotalBytes: number;
  /** Which file of how many, from 1. */
  fileNumber: number;
  fileCount: number;
  /** Bytes of the whole model that are in storage or have just come. */
  bytes: number;
  totalBytes: number;
  /** Over the last seconds; 0 until there is something to measure. */
  bytesPerSecond: number;
  secondsLeft: number | null;
}

const WINDOW_MS = 5000;
const REPORT_MS = 100;

/**
 * Turns counts of bytes into reports: at most ten a second, with the rate of the last five seconds. What is held back is
 * told a little later, so that a transfer that stalls shows how far it came.
 */
export class ProgressMeter {
  readonly #report: (progress: FetchProgress) => void;
  readonly #totalBytes: number;
  readonly #fileCount: number;
  readonly #samples: { at: number; bytes: number }[] = [];
  #file = { name: '', size: 0, bytes: 0, number: 0 };
  #bytes = 0;
  #received = 0;
  #lastReport = Number.NEGATIVE_INFINITY;
  #later: ReturnType<typeof setTimeout> | undefined;

  constructor(files: readonly { size: number }[], report: (progress: FetchProgress) => void = () => {}) {
    this.#totalBytes = files.reduce((sum, { size }) => sum + size, 0);
    this.#fileCount = files.length;
    this.#report = report;
  }

  /** The bytes that follow are this file's. */
  start({ name, size }: { name: string; size: number }): void {
    clearTimeout(this.#later);
    this.#file = { name, size, bytes: 0, number: this.#file.number + 1 };
  }

  /** Bytes that were there already: they count, but not for the rate. */
  found(bytes: number): void {
    this.#count(bytes);
    this.#tell('verifying', this.#file.bytes);
  }

  received(bytes: number): void {
    this.#count(bytes);
    this.#received += bytes;
    this.#tell('downloading', this.#file.bytes);
  }

  /** So many bytes of the file, which are all there, were checked. */
  checked(fileBytes: number): void {
    this.#tell('verifying', fileBytes);
  }

  /** Bytes that must come again. */
  dropped(bytes: number): void {
    this.#count(-bytes);
  }

  /** The whole file must come again. */
  restart(): void {
    this.#count(-this.#file.bytes);
  }

  /** Reports once more, whenever the last report was. */
  finish(): void {
    this.#lastReport = Number.NEGATIVE_INFINITY;
    this.#tell('verifying', this.#file.bytes);
  }

  /** No report comes after this. */
  stop(): void {
    clearTimeout(this.#later);
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#file.bytes += bytes;
  }

  #tell(phase: FetchProgress['phase'], fileBytes: number): void {
    const now = performance.now();
    clearTimeout(this.#later);
    const early = this.#lastReport + REPORT_MS - now;
    if (early > 0) {
      this.#later = setTimeout(() => this.#tell(phase, fileBytes), early);
      return;
    }
    this.#lastReport = now;
    this.#samples.push({ at: now, bytes: this.#received });
    while (this.#samples.length > 2 && now - this.#samples[0].at > WINDOW_MS) this.#samples.shift();
    const [{ at, bytes }] = this.#samples;
    const bytesPerSecond = now > at ? ((this.#received - bytes) / (now - at)) * 1000 : 0;
    const left = this.#totalBytes - this.#bytes;
    this.#report({
      phase,
      file: this.#file.name,
      fileBytes,
      fileTotalBytes: this.#file.size,
      fileNumber: this.#file.number,
      fileCount: this.#fileCount,
      bytes: this.#bytes,
      totalBytes: this.#totalBytes,
      bytesPerSecond,
      secondsLeft: left === 0 ? 0 : bytesPerSecond > 0 ? left / bytesPerSecond : null,
    });
  }
}
