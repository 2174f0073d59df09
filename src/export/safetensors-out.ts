import { INDEX_FILE, SINGLE_FILE } from '../formats/checkpoint';
import { serializeSafetensorsHeader, type TensorSpec } from '../formats/safetensors';
import { type OutputSink, writeFile } from './sink';

/** A tensor to write; its bytes are made when their turn comes. */
export interface OutputTensor extends TensorSpec {
  /** Tensors of one group stay in one file: readers of NF4 look for a weight's scales beside it. */
  group?: string;
  bytes(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

export interface WriteOptions {
  /** Above so many bytes of tensors a new file begins; without it, all go into one. */
  maxShardBytes?: number;
  /** Called with each number of bytes written, headers not counted. */
  onBytes?: (bytes: number, file: string) => void;
}

const METADATA = { format: 'pt' };

/** The tensors' byte length without headers. */
export const dataBytes = (tensors: readonly TensorSpec[]): number => {
  const { header, size } = serializeSafetensorsHeader(tensors, METADATA);
  return size - header.length;
};

/** The names of the files that {@link writeWeights} writes, with the tensors of each, in transformers' naming. */
export function planShards<T extends TensorSpec & { group?: string }>(
  tensors: readonly T[],
  maxShardBytes = Number.POSITIVE_INFINITY,
): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const tensor of tensors) {
    const key = tensor.group ?? tensor.name;
    groups.set(key, [...(groups.get(key) ?? []), tensor]);
  }
  const shards: T[][] = [[]];
  let bytes = 0;
  for (const group of groups.values()) {
    const size = dataBytes(group);
    if (bytes + size > maxShardBytes && bytes > 0) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)!.push(...group);
    bytes += size;
  }
  if (shards.length === 1) return new Map([[SINGLE_FILE, shards[0]]]);
  const digits = (n: number) => String(n).padStart(5, '0');
  return new Map(shards.map((shard, i) => [`model-${digits(i + 1)}-of-${digits(shards.length)}.safetensors`, shard]));
}

/**
 * Writes weights as safetensors: model.safetensors, or shards and then their index. At most one piece of one tensor is in
 * memory. Returns the files written. Throws when a tensor yields more or fewer bytes than its shape needs.
 */
export async function writeWeights(
  sink: OutputSink,
  tensors: readonly OutputTensor[],
  { maxShardBytes, onBytes = () => {} }: WriteOptions = {},
): Promise<{ name: string; bytes: number }[]> {
  const shards = planShards(tensors, maxShardBytes);
  const written: { name: string; bytes: number }[] = [];
  const weightMap: Record<string, string> = {};
  for (const [name, shard] of shards) {
    const byName = new Map(shard.map((tensor) => [tensor.name, tensor]));
    const layout = serializeSafetensorsHeader(shard, METADATA);
    const file = await sink.open(name, layout.size);
    await file.write(layout.header);
    for (const tensor of layout.tensors) {
      weightMap[tensor.name] = name;
      let at = tensor.begin;
      for await (const piece of byName.get(tensor.name)!.bytes()) {
        await file.write(piece);
        at += piece.length;
        onBytes(piece.length, name);
      }
      if (at !== tensor.end) {
        throw new Error(
          `${tensor.name}: ${at - tensor.begin} bytes were written where its shape needs ${tensor.end - tensor.begin}`,
        );
      }
    }
    await file.close();
    written.push({ name, bytes: layout.size });
  }
  if (shards.size > 1) {
    const name = INDEX_FILE;
    const sorted = Object.fromEntries(Object.entries(weightMap).sort(([a], [b]) => (a < b ? -1 : 1)));
    const text = `${JSON.stringify({ metadata: { total_size: dataBytes(tensors) }, weight_map: sorted }, null, 2)}\n`;
    written.push({ name, bytes: await writeFile(sink, name, text) });
  }
  return written;
}
