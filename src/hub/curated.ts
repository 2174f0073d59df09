/** Models of the Hub that the studio is made for. Shapes are those of model/known-configs.ts, by id. */

export interface CuratedRepository {
  repo: string;
  title: string;
  variant: 'base' | 'instruct';
  /** Id of its shape. */
  shape: string;
  format: 'BF16' | 'NF4';
  gated: boolean;
  license: string;
}

const SMOL = { format: 'BF16', gated: false, license: 'Apache 2.0' } as const;
const META = { format: 'BF16', gated: true } as const;
const UNSLOTH = { format: 'NF4', gated: false } as const;
const [LLAMA_3, LLAMA_31, LLAMA_32] = ['3', '3.1', '3.2'].map((version) => ({
  license: `Llama ${version} Community License`,
}));

const both = (
  base: string,
  instruct: string,
  about: Omit<CuratedRepository, 'repo' | 'variant'>,
): CuratedRepository[] => [
  { repo: base, variant: 'base', ...about },
  { repo: instruct, variant: 'instruct', ...about },
];

/** Smallest first, per family. */
export const CURATED: readonly CuratedRepository[] = [
  ...['135M', '360M', '1.7B'].flatMap((size) =>
    both(`HuggingFaceTB/SmolLM2-${size}`, `HuggingFaceTB/SmolLM2-${size}-Instruct`, {
      title: `SmolLM2 ${size}`,
      shape: `smollm2-${size.toLowerCase()}`,
      ...SMOL,
    }),
  ),
  ...['1B', '3B'].flatMap((size) => {
    const about = { title: `Llama 3.2 ${size}`, shape: `llama-3.2-${size.toLowerCase()}`, ...LLAMA_32 };
    return [
      ...both(`unsloth/Llama-3.2-${size}-bnb-4bit`, `unsloth/Llama-3.2-${size}-Instruct-bnb-4bit`, {
        ...about,
        ...UNSLOTH,
      }),
      ...both(`meta-llama/Llama-3.2-${size}`, `meta-llama/Llama-3.2-${size}-Instruct`, { ...about, ...META }),
    ];
  }),
  ...both('unsloth/Meta-Llama-3.1-8B-bnb-4bit', 'unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit', {
    title: 'Llama 3.1 8B',
    shape: 'llama-3.1-8b',
    ...LLAMA_31,
    ...UNSLOTH,
  }),
  ...both('meta-llama/Llama-3.1-8B', 'meta-llama/Llama-3.1-8B-Instruct', {
    title: 'Llama 3.1 8B',
    shape: 'llama-3.1-8b',
    ...LLAMA_31,
    ...META,
  }),
  ...both('unsloth/llama-3-8b-bnb-4bit', 'unsloth/llama-3-8b-Instruct-bnb-4bit', {
    title: 'Llama 3 8B',
    shape: 'llama-3-8b',
    ...LLAMA_3,
    ...UNSLOTH,
  }),
  ...both('meta-llama/Meta-Llama-3-8B', 'meta-llama/Meta-Llama-3-8B-Instruct', {
    title: 'Llama 3 8B',
    shape: 'llama-3-8b',
    ...LLAMA_3,
    ...META,
  }),
];
