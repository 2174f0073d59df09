/** Streams of bytes, read without leaving as many behind as garbage. */

const PIECE_BYTES = 256 * 1024;

/**
 * Reads a stream piece by piece; undefined at its end. All pieces lie in the same memory where the browser can do so, and
 * each is valid until the next is read: a new buffer for each would be a gigabyte of garbage for every gigabyte that comes.
 */
export function pieceReader(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): () => Promise<Uint8Array<ArrayBuffer> | undefined> {
  let bytes: ReadableStreamBYOBReader;
  try {
    bytes = body.getReader({ mode: 'byob' });
  } catch {
    const pieces = body.getReader(); // no stream of bytes here
    return async () => (await pieces.read()).value;
  }
  let memory = new ArrayBuffer(PIECE_BYTES);
  return async () => {
    const { done, value } = await bytes.read(new Uint8Array(memory));
    if (done || !value) return undefined;
    memory = value.buffer; // it was handed over, and comes back
    return value;
  };
}
