/** Where rows come from, opened: one part for each file. */
import type { DataInput } from '../data/read/records';
import type { ByteSource } from '../formats/bytes';
import { StateError } from './errors';
import { openHubSplit } from './hub-dataset';
import type { DataSource } from './protocol';

export interface SourcePart {
  name: string;
  size: number;
  /** May be called again, for reading once more. */
  open(): DataInput;
}

export interface SourcePlaces {
  /** Where built-in sets lie; ends in "/". */
  dataUrl: string;
  /** Address of the Hugging Face hub, without a slash at its end. */
  hubUrl: string;
}

/** A file or blob, read by ranges. */
export function blobSource(blob: Blob): ByteSource {
  return {
    size: blob.size,
    read: async (begin, end) => new Uint8Array(await blob.slice(begin, end).arrayBuffer()),
  };
}

const PARQUET = 0x50415231;

/** Parquet is read by ranges; anything else as the stream that the browser gives, which is faster. */
async function partOf(blob: Blob, name: string): Promise<SourcePart> {
  const head = new DataView(await blob.slice(0, 4).arrayBuffer());
  const byRanges = head.byteLength === 4 && head.getUint32(0) === PARQUET;
  const open = () => (byRanges ? blobSource(blob) : (blob.stream() as ReadableStream<Uint8Array>));
  return { name, size: blob.size, open };
}

async function builtin(id: string, { dataUrl }: SourcePlaces): Promise<SourcePart> {
  const response = await fetch(`${dataUrl}${id}`);
  if (!response.ok) throw new StateError('unknown-data', `The built-in set ${id} is not on this site.`);
  return partOf(await response.blob(), id);
}

/** The parts of a source. Rejects when one cannot be opened. */
export async function openSource(source: DataSource, places: SourcePlaces, signal: AbortSignal): Promise<SourcePart[]> {
  if ('files' in source) return Promise.all(source.files.map((file) => partOf(file, file.name)));
  if ('text' in source) return [await partOf(new Blob([source.text]), 'pasted rows')];
  if ('builtin' in source) return [await builtin(source.builtin, places)];
  return openHubSplit(places.hubUrl, source.hub, signal);
}
