/**
 * Rows of one JSON document, cut out of a stream of bytes one at a time, so that a large file is never held whole.
 *
 * The document is an array of rows, an object that holds them under one of ROW_KEYS, or a single row.
 */

/** Names under which files keep their rows. */
export const ROW_KEYS: readonly string[] = ['data', 'rows', 'examples', 'train', 'instances', 'records', 'items'];

/** A longer row is not cut out; reading stops with its problem. */
export const MAX_ELEMENT_BYTES = 16 * 1024 * 1024;

/** The text of one row, or null when it is cut short or too long. */
export interface Element {
  bytes: Uint8Array | null;
  problem?: 'not-json' | 'line-too-long';
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Bytes gathered across chunks. */
class Gatherer {
  #pieces: Uint8Array[] = [];
  length = 0;

  add(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#pieces.push(piece.slice());
    this.length += piece.length;
  }

  take(): Uint8Array {
    const all = new Uint8Array(this.length);
    let at = 0;
    for (const piece of this.#pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    this.clear();
    return all;
  }

  clear(): void {
    this.#pieces = [];
    this.length = 0;
  }
}

/** Takes byte chunks in, gives the bytes of finished rows out. */
export class JsonElements {
  /** Depth at which rows are elements: 1 in an array, 2 in an object's array; 0 while it is not known. */
  #rowDepth = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** Gathers a row, or, in an object, its text until rows are found (it may itself be the row). */
  readonly #held = new Gatherer();
  #started = false;
  #holding = false;
  /** A key of the top-level object being read, then the last one read. */
  #key: number[] | null = null;
  #lastKey = '';
  #afterColon = false;
  #done = false;
  #overlong = false;

  /** Rows that end in this chunk. */
  push(chunk: Uint8Array): Element[] {
    const found: Element[] = [];
    if (this.#done) return found;
    let from = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i];
      if (this.#inString) {
        this.#stringByte(byte);
        continue;
      }
      if (isSpace(byte)) continue;
      if (!this.#started) {
        this.#started = true;
        if (byte === OPEN_ARRAY) this.#rowDepth = 1;
        else {
          this.#holding = true;
          from = i;
        }
        if (byte === OPEN_ARRAY) {
          this.#depth = 1;
          continue;
        }
      }
      const insideRows = this.#rowDepth > 0;
      if (insideRows && this.#depth === this.#rowDepth && (byte === COMMA || byte === CLOSE_ARRAY)) {
        if (this.#holding) {
          this.#held.add(chunk.subarray(from, i));
          this.#emit(found);
        }
        if (byte === CLOSE_ARRAY) {
          this.#done = true;
          return found;
        }
        continue;
      }
      if (insideRows && !this.#holding) {
        this.#holding = true;
        from = i;
      }
      this.#structureByte(byte);
      if (!insideRows && this.#rowDepth > 0) {
        // The rows begin here: what was held is not a row.
        this.#held.clear();
        this.#holding = false;
      }
      if (this.#holding && this.#depth === 0 && this.#rowDepth === 0) {
        this.#held.add(chunk.subarray(from, i + 1));
        this.#emit(found);
        this.#done = true;
        return found;
      }
    }
    if (this.#holding) {
      this.#held.add(chunk.subarray(from));
      if (this.#held.length > MAX_ELEMENT_BYTES) {
        // Inside an object whose rows are not yet found, what is held may be thrown away; a row may not.
        this.#held.clear();
        if (this.#rowDepth > 0) {
          this.#done = true;
          found.push({ bytes: null, problem: 'line-too-long' });
        } else this.#overlong = true;
      }
    }
    return found;
  }

  /** What is left when the file ends: a row that was cut short. */
  end(): Element[] {
    if (this.#done) return [];
    if (this.#overlong && this.#rowDepth === 0) return [{ bytes: null, problem: 'line-too-long' }];
    return this.#started ? [{ bytes: null, problem: 'not-json' }] : [];
  }

  #emit(found: Element[]): void {
    this.#holding = false;
    if (this.#overlong && this.#rowDepth === 0) found.push({ bytes: null, problem: 'line-too-long' });
    else found.push({ bytes: this.#held.take() });
  }

  #stringByte(byte: number): void {
    if (this.#escaped) this.#escaped = false;
    else if (byte === BACKSLASH) this.#escaped = true;
    else if (byte === QUOTE) {
      this.#inString = false;
      if (this.#key) {
        this.#lastKey = String.fromCharCode(...this.#key);
        this.#key = null;
      }
      return;
    }
    // Only short keys matter.
    if (this.#key && this.#key.length < 64) this.#key.push(byte);
  }

  #structureByte(byte: number): void {
    const top = this.#depth === 1 && this.#rowDepth === 0;
    switch (byte) {
      case QUOTE:
        this.#inString = true;
        if (top && !this.#afterColon) this.#key = [];
        break;
      case COLON:
        if (top) this.#afterColon = true;
        break;
      case COMMA:
        if (top) this.#afterColon = false;
        break;
      case OPEN_ARRAY:
        if (top && this.#afterColon && ROW_KEYS.includes(this.#lastKey)) this.#rowDepth = 2;
        this.#depth += 1;
        break;
      case OPEN_OBJECT:
        this.#depth += 1;
        break;
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        this.#depth -= 1;
        break;
    }
  }
}
