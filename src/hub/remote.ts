/** A model on some host, whichever kind of host it is. */
import { INDEX_FILE, SINGLE_FILE } from '../formats/checkpoint';
import type { ModelRecord, StoredFile } from '../storage/store';
import { HubError } from './errors';
import type { NetworkOptions } from './request';

export type ListedFile = Omit<StoredFile, 'complete'>;

export interface Listing {
  /** What is remembered of the model beside its files. */
  about: Record<string, unknown>;
  files: ListedFile[];
  /** The commit that a revision names by now, where an earlier visit began with another one. */
  newer?: string;
}

export interface RemoteModel {
  /** The key in storage. */
  readonly id: string;
  /** How this host is asked: its token, its reasons. */
  readonly network: Pick<NetworkOptions, 'authorize' | 'explain'>;
  /** What there is to fetch; the same version of it that `before` began with, where the host keeps old ones. */
  list(before: ModelRecord | undefined, options: NetworkOptions): Promise<Listing>;
  /** Address of a file. `about` is the listing's. */
  address(file: string, about: Record<string, unknown>): string;
}

/** Everything beside weights that a model is used or written with. */
const COMPANION =
  /^(?:(?:config|generation_config|special_tokens_map|added_tokens)\.json|tokenizer[^/]*\.(?:json|model)|chat_template[^/]*\.(?:json|jinja))$/u;

/** The names of a file that may be missing, for hosts that cannot list. */
export const COMPANION_NAMES = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
];

/**
 * The files that are needed: config, tokenizer, chat template, and the safetensors files that the index names. Throws
 * {@link HubError} `unsupported-repository` when there is nothing to load, saying what is there instead.
 *
 * @param readIndex the parsed JSON of the index file
 */
export async function choose(
  names: readonly string[],
  model: string,
  readIndex: (file: string) => Promise<unknown>,
): Promise<string[]> {
  const unsupported = (message: string) => new HubError('unsupported-repository', message);
  const companions = names.filter((name) => COMPANION.test(name));
  if (names.includes('adapter_config.json') && !names.includes('config.json')) {
    throw unsupported(`${model} is an adapter, not a whole model. Name the model that it was trained on.`);
  }
  if (!names.includes('config.json')) {
    throw unsupported(
      names.some((name) => name.endsWith('.gguf'))
        ? `${model} holds GGUF files, which cannot be trained. Name the repository with the safetensors files that they were made from.`
        : `${model} has no config.json, so it is not a whole model. Name the repository or folder of a Llama model.`,
    );
  }
  if (names.includes(SINGLE_FILE)) return [...companions, SINGLE_FILE];
  if (names.includes(INDEX_FILE)) {
    const shards = shardsOf(await readIndex(INDEX_FILE), model);
    const missing = shards.find((shard) => !names.includes(shard));
    if (missing) throw unsupported(`${model} has no ${missing}, but its index names it. Choose another revision.`);
    return [...companions, INDEX_FILE, ...shards];
  }
  const other = names.find((name) => /\.(?:bin|pt|pth|gguf|msgpack|h5)$/u.test(name));
  throw unsupported(
    `${model} has no ${SINGLE_FILE} and no ${INDEX_FILE}${other ? ` (only files such as ${other})` : ''}. ` +
      'Choose a model whose weights are in safetensors format.',
  );
}

/** Base names of the shards, in their order. Throws {@link HubError} `unsupported-repository`. */
export function shardsOf(index: unknown, model: string): string[] {
  const map = (index as { weight_map?: unknown } | null)?.weight_map;
  const shards = typeof map === 'object' && map !== null ? [...new Set(Object.values(map))].sort() : [];
  if (shards.length === 0 || !shards.every((s) => typeof s === 'string' && /^[^/\\]+\.safetensors$/u.test(s))) {
    throw new HubError(
      'unsupported-repository',
      `The ${INDEX_FILE} of ${model} names no safetensors files. Choose another revision.`,
    );
  }
  return shards as string[];
}
