/** The parts of the benchmark that a page can run, in the order that it does. */

export const SECTION_NAMES = [
  'ceiling',
  'products',
  'attention',
  'step',
  'fit',
  'tokenise',
  'eval',
  'generate',
  'scaling',
  'race',
] as const;
export type SectionName = (typeof SECTION_NAMES)[number];

interface SectionAbout {
  title: string;
  about: string;
  /** Its shapes would keep a processor busy for hours. */
  needsGpu: boolean;
  /** Chosen at first. */
  usual: boolean;
}

export const SECTIONS_ABOUT: Record<SectionName, SectionAbout> = {
  ceiling: { title: 'Memory', about: 'A large copy: what the GPU can move.', needsGpu: false, usual: true },
  products: {
    title: 'Matrix products',
    about: 'Both directions in F32, BF16 and NF4: a large square, and the shapes of Llama-3.2-1B.',
    needsGpu: true,
    usual: true,
  },
  attention: {
    title: 'Attention',
    about: 'Its kernels at the heads of Llama 1B and 8B, forward and backward.',
    needsGpu: true,
    usual: false,
  },
  step: {
    title: 'Training step',
    about: 'Whole ORPO steps of random weights in the shape of Llama-3.2-1B (a sliver of it on a processor).',
    needsGpu: false,
    usual: true,
  },
  fit: {
    title: 'Fitting to the GPU',
    about: 'Which tiles are fastest, and how each tier compares with f32.',
    needsGpu: true,
    usual: true,
  },
  tokenise: { title: 'Tokenising', about: 'Rows to token ids, on the processor.', needsGpu: false, usual: true },
  eval: {
    title: 'Evaluation',
    about: 'Multiple choice, with contexts shared and one by one.',
    needsGpu: false,
    usual: false,
  },
  generate: { title: 'Generation', about: 'Tokens a second, one and more at a time.', needsGpu: false, usual: false },
  scaling: {
    title: 'Cost against size',
    about: 'Step time over tokens, layers and 500 steps. Takes minutes.',
    needsGpu: true,
    usual: false,
  },
  race: { title: 'Tile race', about: 'Thirteen tile shapes against each other.', needsGpu: true, usual: false },
};
