/** What a file is, told from its first bytes rather than from its name. */

export type FileKind = 'text' | 'gzip' | 'parquet' | 'other';

const MAGIC: { bytes: number[]; kind: FileKind; what: string }[] = [
  { bytes: [0x1f, 0x8b], kind: 'gzip', what: 'a gzip archive' },
  { bytes: [0x50, 0x41, 0x52, 0x31], kind: 'parquet', what: 'a Parquet file' },
  { bytes: [0x50, 0x4b, 0x03, 0x04], kind: 'other', what: 'a zip archive or an Office document' },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], kind: 'other', what: 'a Zstandard archive' },
  { bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a], kind: 'other', what: 'an xz archive' },
  { bytes: [0x42, 0x5a, 0x68], kind: 'other', what: 'a bzip2 archive' },
  { bytes: [0x25, 0x50, 0x44, 0x46, 0x2d], kind: 'other', what: 'a PDF' },
  { bytes: [0x89, 0x50, 0x4e, 0x47], kind: 'other', what: 'a PNG picture' },
  { bytes: [0xff, 0xd8, 0xff], kind: 'other', what: 'a JPEG picture' },
  { bytes: [0x41, 0x52, 0x52, 0x4f, 0x57, 0x31], kind: 'other', what: 'an Arrow file' },
  { bytes: [0xff, 0xfe], kind: 'other', what: 'text in UTF-16' },
  { bytes: [0xfe, 0xff], kind: 'other', what: 'text in UTF-16' },
];

/** Kind of a file by its first bytes, and a name for it ("a PDF"). A NUL byte near the start means it is not text. */
export function sniff(head: Uint8Array): { kind: FileKind; what: string } {
  const known = MAGIC.find(({ bytes }) => bytes.every((byte, i) => head[i] === byte));
  if (known) return known;
  if (head.includes(0)) return { kind: 'other', what: 'binary' };
  return { kind: 'text', what: 'text' };
}
