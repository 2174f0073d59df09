/** Lines of a stream of UTF-8 bytes, one chunk at a time. */

/** A longer line is skipped and named; it would not be one preference. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;

export interface Line {
  /** 1-based. */
  line: number;
  /** Null when the line cannot be read; `problem` then says why. */
  text: string | null;
  problem?: 'not-text' | 'line-too-long';
}

const NEWLINE = 10;
const RETURN = 13;

/** Joins pieces of one line. */
function join(pieces: Uint8Array[], length: number): Uint8Array {
  if (pieces.length === 1) return pieces[0];
  const all = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** Takes byte chunks in, gives finished lines out. Blank lines are counted and left out. */
export class LineSplitter {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  readonly #limit: number;
  #pieces: Uint8Array[] = [];
  #length = 0;
  #number = 0;

  constructor(limit = MAX_LINE_BYTES) {
    this.#limit = limit;
  }

  /** Lines that end in this chunk. The chunk's bytes may be kept until the next call. */
  push(chunk: Uint8Array): Line[] {
    const lines: Line[] = [];
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      this.#add(chunk.subarray(from, at));
      this.#finish(lines);
      from = at + 1;
    }
    if (from < chunk.length) this.#add(chunk.slice(from));
    return lines;
  }

  /** The last line, when the file does not end in a newline. */
  end(): Line[] {
    const lines: Line[] = [];
    if (this.#length > 0) this.#finish(lines);
    return lines;
  }

  #add(piece: Uint8Array): void {
    this.#length += piece.length;
    if (this.#length > this.#limit) this.#pieces = [];
    else if (piece.length > 0) this.#pieces.push(piece);
  }

  #finish(lines: Line[]): void {
    this.#number += 1;
    const line = this.#number;
    const length = this.#length;
    const pieces = this.#pieces;
    this.#length = 0;
    this.#pieces = [];
    if (length > this.#limit) {
      lines.push({ line, text: null, problem: 'line-too-long' });
      return;
    }
    if (length === 0) return;
    let bytes = join(pieces, length);
    if (bytes[length - 1] === RETURN) bytes = bytes.subarray(0, length - 1);
    let text: string;
    try {
      // The decoder drops a byte order mark.
      text = this.#decoder.decode(bytes);
    } catch {
      lines.push({ line, text: null, problem: 'not-text' });
      return;
    }
    if (text.trim() !== '') lines.push({ line, text });
  }
}
