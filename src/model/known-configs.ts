/** Shapes of published Llama-3 models and others of the architecture, for planning before anything is downloaded. */
import type { LlamaConfig, RopeConfig } from './config';

export interface KnownConfig {
  id: string;
  title: string;
  config: LlamaConfig;
}

const plain: RopeConfig = {
  theta: 500000,
  type: 'default',
  factor: 1,
  lowFreqFactor: 1,
  highFreqFactor: 1,
  originalMaxPositions: 8192,
};
const scaled = (factor: number): RopeConfig => ({
  ...plain,
  type: 'llama3',
  factor,
  lowFreqFactor: 1,
  highFreqFactor: 4,
});

const llama3 = {
  vocabSize: 128256,
  kvHeads: 8,
  maxPositions: 131072,
  rmsNormEps: 1e-5,
};

const smolLm2 = {
  vocabSize: 49152,
  maxPositions: 8192,
  rmsNormEps: 1e-5,
  tieWordEmbeddings: true,
  rope: { ...plain, theta: 100000 },
};

export const KNOWN_CONFIGS: readonly KnownConfig[] = [
  {
    id: 'llama-3.2-1b',
    title: 'Llama 3.2 1B',
    config: {
      ...llama3,
      hiddenSize: 2048,
      intermediateSize: 8192,
      layers: 16,
      heads: 32,
      headDim: 64,
      tieWordEmbeddings: true,
      rope: scaled(32),
    },
  },
  {
    id: 'llama-3.2-3b',
    title: 'Llama 3.2 3B',
    config: {
      ...llama3,
      hiddenSize: 3072,
      intermediateSize: 8192,
      layers: 28,
      heads: 24,
      headDim: 128,
      tieWordEmbeddings: true,
      rope: scaled(32),
    },
  },
  {
    id: 'llama-3.1-8b',
    title: 'Llama 3.1 8B',
    config: {
      ...llama3,
      hiddenSize: 4096,
      intermediateSize: 14336,
      layers: 32,
      heads: 32,
      headDim: 128,
      tieWordEmbeddings: false,
      rope: scaled(8),
    },
  },
  {
    id: 'llama-3-8b',
    title: 'Llama 3 8B',
    config: {
      ...llama3,
      maxPositions: 8192,
      hiddenSize: 4096,
      intermediateSize: 14336,
      layers: 32,
      heads: 32,
      headDim: 128,
      tieWordEmbeddings: false,
      rope: plain,
    },
  },
  {
    id: 'smollm2-135m',
    title: 'SmolLM2 135M',
    config: {
      ...smolLm2,
      hiddenSize: 576,
      intermediateSize: 1536,
      layers: 30,
      heads: 9,
      kvHeads: 3,
      headDim: 64,
    },
  },
  {
    id: 'smollm2-360m',
    title: 'SmolLM2 360M',
    config: {
      ...smolLm2,
      hiddenSize: 960,
      intermediateSize: 2560,
      layers: 32,
      heads: 15,
      kvHeads: 5,
      headDim: 64,
    },
  },
  {
    id: 'smollm2-1.7b',
    title: 'SmolLM2 1.7B',
    config: {
      ...smolLm2,
      hiddenSize: 2048,
      intermediateSize: 8192,
      layers: 24,
      heads: 32,
      kvHeads: 32,
      headDim: 64,
      rope: { ...plain, theta: 130000 },
    },
  },
  {
    id: 'tinyllama-1.1b',
    title: 'TinyLlama 1.1B',
    config: {
      vocabSize: 32000,
      maxPositions: 2048,
      rmsNormEps: 1e-5,
      tieWordEmbeddings: false,
      rope: { ...plain, theta: 10000, originalMaxPositions: 2048 },
      hiddenSize: 2048,
      intermediateSize: 5632,
      layers: 22,
      heads: 32,
      kvHeads: 4,
      headDim: 64,
    },
  },
];
