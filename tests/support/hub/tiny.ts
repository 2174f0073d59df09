/** Repositories for tests: real small files around weights that are random bytes. */
import { CHUNK_BYTES } from '../../../src/storage/store';
import { pseudoRandomBytes } from '../model-server';
import { filesOf, type RepoFiles } from './repo';

export const LLAMA_CONFIG = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  vocab_size: 512,
  hidden_size: 64,
  intermediate_size: 172,
  num_hidden_layers: 5,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  torch_dtype: 'bfloat16',
};

/** Bytes that fill so many chunks and a bit of another. */
export const weightsOf = (chunks: number, seed = 1): Uint8Array<ArrayBuffer> =>
  pseudoRandomBytes(chunks * CHUNK_BYTES + 777, seed);

/** A repository with these weight files; more than one come with an index. */
export function tinyRepository(
  weights: Record<string, Uint8Array>,
  more: Record<string, Uint8Array | string> = {},
): RepoFiles {
  const shards = Object.keys(weights);
  const map = Object.fromEntries(shards.map((shard, i) => [`tensor.${i}`, shard]));
  return filesOf({
    '.gitattributes': '*.safetensors filter=lfs',
    'README.md': '# tiny',
    'config.json': JSON.stringify(LLAMA_CONFIG),
    'tokenizer.json': '{"version":"1.0"}',
    'tokenizer_config.json': '{}',
    'training_args.bin': 'not wanted',
    ...(shards.length > 1 ? { 'model.safetensors.index.json': JSON.stringify({ weight_map: map }) } : {}),
    ...weights,
    ...more,
  });
}
