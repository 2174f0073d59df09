/** Records of a Parquet file, one row group at a time, read by ranges. */
import type { ByteSource } from '../../formats/bytes';
import { DataError } from '../errors';
import type { ReadOptions } from './peek';

/** Values as JSON would have them: whole numbers are numbers, dates and bytes stay what they are. */
function plainValue(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map(plainValue);
  if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plainValue(inner)]));
  }
  return value;
}

/** A row group whose values take more memory than this is refused. */
const MAX_GROUP_BYTES = 1024 * 1024 * 1024;

/** Batches of { line, value }, `line` being the 1-based row. */
export async function* parquetBatches(
  source: ByteSource,
  options: ReadOptions,
): AsyncGenerator<{ line: number; value: unknown }[]> {
  const [{ parquetMetadataAsync, parquetReadObjects }, codecs] = await Promise.all([
    import('hyparquet'),
    import('hyparquet-compressors'),
  ]);
  let read = 0;
  const file = {
    byteLength: source.size,
    slice: async (begin: number, end = source.size): Promise<ArrayBuffer> => {
      if (options.signal?.aborted) throw new DataError('cancelled', 'Reading the file was cancelled.');
      const bytes = await source.read(begin, Math.min(end, source.size));
      read += bytes.length;
      options.onProgress?.(Math.min(read, source.size));
      return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    },
  };
  const zstd = (input: Uint8Array) => codecs.decompressZstd(input);
  // Snappy, the usual one, is hyparquet's own.
  const compressors = {
    GZIP: codecs.decompressGzip,
    BROTLI: codecs.decompressBrotli,
    ZSTD: zstd,
    LZ4: codecs.decompressLz4,
    LZ4_RAW: codecs.decompressLz4Raw,
  };
  const metadata = await parquetMetadataAsync(file);
  let begin = 0;
  for (const group of metadata.row_groups) {
    const end = begin + Number(group.num_rows);
    if (Number(group.total_byte_size) > MAX_GROUP_BYTES) {
      throw new DataError(
        'bad-format',
        'A row group of this Parquet file is larger than 1 GB. Write it again with smaller row groups.',
      );
    }
    const rows = await parquetReadObjects({ file, metadata, compressors, rowStart: begin, rowEnd: end });
    const first = begin + 1;
    yield rows.map((row, i) => ({ line: first + i, value: plainValue(row) }));
    begin = end;
  }
}
