/** Shapes of models that benchmarks make. */
import type { LlamaConfig } from '../model/config';
import { KNOWN_CONFIGS } from '../model/known-configs';

export { randomMatrix } from '../model/random-weights';

/** Llama-3.2-1B's shape. */
export const LLAMA_1B: LlamaConfig = KNOWN_CONFIGS.find(({ id }) => id === 'llama-3.2-1b')!.config;

/** One narrow layer, for quick runs on a CPU. */
export const SLIVER: LlamaConfig = {
  ...LLAMA_1B,
  vocabSize: 512,
  layers: 1,
  hiddenSize: 64,
  intermediateSize: 128,
  heads: 2,
  kvHeads: 1,
  headDim: 32,
};

/** The fields of transformers' LlamaConfig that differ between shapes. */
export const configFields = (c: LlamaConfig): Record<string, number> => ({
  vocab_size: c.vocabSize,
  hidden_size: c.hiddenSize,
  intermediate_size: c.intermediateSize,
  num_hidden_layers: c.layers,
  num_attention_heads: c.heads,
  num_key_value_heads: c.kvHeads,
  head_dim: c.headDim,
});
